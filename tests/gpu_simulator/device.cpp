// A CUDA runtime and driver that compute on the host, as far as CuPy calls them.
//
// Device memory is host memory, filled with NaN when it is allocated and checked in every copy.
// Streams are lazy if GPU_SIMULATOR_LAZY is 1: work is done when something waits for it, so that a
// missing synchronisation shows. Capture records work and graphs replay it; what CUDA forbids
// during a capture fails. Everything that a step may cost is counted.
#include "device_work.h"

extern "C" {

// ----- the device -----

const char* cudaGetErrorName(cudaError_t error) {
    switch ((int)error) {
        case cudaSuccess: return "cudaSuccess";
        case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
        case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
        case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
        case cudaErrorInvalidResourceHandle: return "cudaErrorInvalidResourceHandle";
        case cudaErrorNotReady: return "cudaErrorNotReady";
        case cudaErrorIllegalAddress: return "cudaErrorIllegalAddress";
        case cudaErrorNotSupported: return "cudaErrorNotSupported";
        case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
        case cudaErrorStreamCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
        case cudaErrorStreamCaptureImplicit: return "cudaErrorStreamCaptureImplicit";
        default: return "cudaErrorUnknown";
    }
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
cudaError_t cudaGetLastError() { return std::exchange(state.last, cudaSuccess); }
cudaError_t cudaDriverGetVersion(int* version) {
    *version = 13020;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = 13020;
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
    *device = 0;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    return device == 0 ? cudaSuccess : failed(cudaErrorInvalidDevice, "cudaSetDevice");
}
cudaError_t cudaGetDeviceCount(int* count) {
    *count = 1;
    return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
    NOT_IN_CAPTURE("cudaDeviceSynchronize");
    state.counts[syncs]++;
    drain_all();
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, enum cudaDeviceAttr number, int) {
    *value = attribute(number);
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp* p, int) {
    memset(p, 0, sizeof *p);
    strcpy(p->name, "simulated GPU");
    p->totalGlobalMem = state.total;
    p->sharedMemPerBlock = attribute(cudaDevAttrMaxSharedMemoryPerBlock);
    p->regsPerBlock = attribute(cudaDevAttrMaxRegistersPerBlock);
    p->warpSize = 32;
    p->maxThreadsPerBlock = p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
    p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = 2147483647;
    p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->major = kCapability / 10;
    p->minor = kCapability % 10;
    p->multiProcessorCount = attribute(cudaDevAttrMultiProcessorCount);
    p->maxThreadsPerMultiProcessor = attribute(cudaDevAttrMaxThreadsPerMultiProcessor);
    p->sharedMemPerBlockOptin = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    p->sharedMemPerMultiprocessor = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor);
    return cudaSuccess;
}
cudaError_t cudaDeviceGetByPCIBusId(int* device, const char*) {
    *device = 0;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* id, int size, int) {
    snprintf(id, size, "0000:00:00.0");
    return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
    *can = 0;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetLimit(size_t* value, enum cudaLimit) {
    *value = 8 << 20;
    return cudaSuccess;
}
cudaError_t cudaDeviceSetLimit(enum cudaLimit, size_t) { return cudaSuccess; }
cudaError_t cudaProfilerStart() { return cudaSuccess; }
cudaError_t cudaProfilerStop() { return cudaSuccess; }

// ----- memory -----

cudaError_t cudaMalloc(void** place, size_t bytes) {
    NOT_IN_CAPTURE("cudaMalloc");
    return allocate(place, bytes);
}
cudaError_t cudaMallocManaged(void** place, size_t bytes, unsigned) {
    NOT_IN_CAPTURE("cudaMallocManaged");
    auto error = allocate(place, bytes);
    if (!error && bytes) state.host[(uintptr_t)*place] = bytes;
    return error;
}
cudaError_t cudaMallocAsync(void** place, size_t bytes, cudaStream_t) {
    return allocate(place, bytes);
}
cudaError_t cudaMallocFromPoolAsync(void** place, size_t bytes, cudaMemPool_t, cudaStream_t) {
    return allocate(place, bytes);
}
cudaError_t cudaFree(void* place) {
    NOT_IN_CAPTURE("cudaFree");
    drain_all();
    state.host.erase((uintptr_t)place);
    return release(place);
}
cudaError_t cudaFreeAsync(void* place, cudaStream_t stream) {
    return enqueue(stream_of(stream), "free", [place] { release(place); });
}
cudaError_t cudaHostAlloc(void** place, size_t bytes, unsigned) {
    NOT_IN_CAPTURE("cudaHostAlloc");
    *place = aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095);
    state.host[(uintptr_t)*place] = bytes;
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void* place) {
    drain_all();
    state.host.erase((uintptr_t)place);
    free(place);
    return cudaSuccess;
}
cudaError_t cudaHostRegister(void* place, size_t bytes, unsigned) {
    state.host[(uintptr_t)place] = bytes;
    return cudaSuccess;
}
cudaError_t cudaHostUnregister(void* place) {
    state.host.erase((uintptr_t)place);
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
    *available = state.total - state.used;
    *total = state.total;
    return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, enum cudaMemcpyKind kind) {
    NOT_IN_CAPTURE("cudaMemcpy");
    if (auto error = check_copy(to, from, bytes, kind)) return error;
    state.counts[syncs]++;
    drain_blocking();
    memmove(to, from, bytes);
    return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t handle) {
    auto* stream = stream_of(handle);
    if (auto error = check_copy(to, from, bytes, kind)) return error;
    if (kind == 1 && !inside(state.host, from, bytes)) {
        // Pageable memory is read before the call returns, so none may be read in a capture.
        if (stream->capture) {
            stream->invalid = true;
            return failed(cudaErrorStreamCaptureUnsupported, "copy of pageable memory");
        }
        auto copy = std::make_shared<std::string>((const char*)from, bytes);
        return enqueue(stream, "copy", [=] { memcpy(to, copy->data(), bytes); });
    }
    if (kind == 2 && !inside(state.host, to, bytes) && !stream->capture) {
        state.counts[syncs]++;
        drain(stream);
        memmove(to, from, bytes);
        return cudaSuccess;
    }
    return enqueue(stream, "copy", [=] { memmove(to, from, bytes); });
}
cudaError_t cudaMemcpyPeer(void* to, int, const void* from, int, size_t bytes) {
    return cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToDevice);
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t bytes,
                                cudaStream_t s) {
    return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, s);
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                              size_t width, size_t height, enum cudaMemcpyKind, cudaStream_t s) {
    return enqueue(stream_of(s), "copy", [=] {
        for (size_t i = 0; i < height; i++)
            memmove((char*)to + i * to_pitch, (const char*)from + i * from_pitch, width);
    });
}
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                         size_t width, size_t height, enum cudaMemcpyKind kind) {
    NOT_IN_CAPTURE("cudaMemcpy2D");
    drain_all();
    return cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, kind, 0);
}
cudaError_t cudaMemsetAsync(void* place, int value, size_t bytes, cudaStream_t stream) {
    if (bytes && !inside(state.device, place, bytes))
        return failed(cudaErrorInvalidValue, "cudaMemset of what is not device memory");
    return enqueue(stream_of(stream), "set", [=] { memset(place, value, bytes); });
}
cudaError_t cudaMemset(void* place, int value, size_t bytes) {
    return cudaMemsetAsync(place, value, bytes, 0);
}
cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes* found, const void* place) {
    memset(found, 0, sizeof *found);
    if (inside(state.device, place, 1)) {
        found->type = cudaMemoryTypeDevice;
        found->devicePointer = (void*)place;
    } else if (inside(state.host, place, 1)) {
        found->type = cudaMemoryTypeHost;
        found->hostPointer = found->devicePointer = (void*)place;
    } else {
        found->type = cudaMemoryTypeUnregistered;
        found->device = -1;
    }
    return cudaSuccess;
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* p, int) {
    *p = (cudaMemPool_t)16;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* p, int) {
    *p = (cudaMemPool_t)16;
    return cudaSuccess;
}
cudaError_t cudaDeviceSetMemPool(int, cudaMemPool_t) { return cudaSuccess; }
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, enum cudaMemPoolAttr, void* value) {
    *(unsigned long long*)value = state.used;
    return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, enum cudaMemPoolAttr, void*) {
    return cudaSuccess;
}

// ----- streams and events -----

cudaError_t cudaStreamCreate(cudaStream_t* s) { return new_stream(s, 0, 0); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned f) { return new_stream(s, f, 0); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* s, unsigned flags, int priority) {
    return new_stream(s, flags, priority);
}
cudaError_t cudaStreamGetFlags(cudaStream_t s, unsigned* f) {
    *f = stream_of(s)->flags;
    return cudaSuccess;
}
cudaError_t cudaStreamGetPriority(cudaStream_t s, int* p) {
    *p = stream_of(s)->priority;
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    auto* stream = stream_of(handle);
    if (stream == &state.null) return failed(cudaErrorInvalidResourceHandle, "the default stream");
    drain(stream);
    state.streams.erase(stream);
    delete stream;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    auto* stream = stream_of(handle);
    if (stream->capture) {
        stream->invalid = true;
        return failed(cudaErrorStreamCaptureUnsupported, "cudaStreamSynchronize");
    }
    if (state.captures && stream == &state.null)
        return failed(cudaErrorStreamCaptureImplicit, "cudaStreamSynchronize");
    state.counts[syncs]++;
    if (stream == &state.null) drain_blocking();
    drain(stream);
    return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
    auto* stream = stream_of(handle);
    if (stream->capture) {
        stream->invalid = true;
        return failed(cudaErrorStreamCaptureUnsupported, "cudaStreamQuery");
    }
    return stream->queue.empty() ? cudaSuccess : failed(cudaErrorNotReady, "cudaStreamQuery");
}
cudaError_t cudaStreamAddCallback(cudaStream_t s, cudaStreamCallback_t call, void* data, unsigned) {
    return enqueue(stream_of(s), "callback", [=] { call(s, cudaSuccess, data); });
}
cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t call, void* data) {
    return enqueue(stream_of(s), "host function", [=] { call(data); });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    auto done = ((Event*)event)->done;
    auto* other = ((Event*)event)->stream;
    return enqueue(stream_of(stream), "wait", [done, other] { drain_until(other, done); });
}
cudaError_t cudaEventCreate(cudaEvent_t* e) {
    *e = (cudaEvent_t) new Event;
    return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) { return cudaEventCreate(e); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete (Event*)event;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream) {
    auto* event = (Event*)handle;
    auto done = event->done = std::make_shared<bool>(false);
    auto time = event->time = std::make_shared<double>(0);
    event->stream = stream_of(stream);
    return enqueue(event->stream, "event", [time, done] {
        *done = true;
        *time = milliseconds();
    });
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
    return *((Event*)event)->done ? cudaSuccess : failed(cudaErrorNotReady, "cudaEventQuery");
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    NOT_IN_CAPTURE("cudaEventSynchronize");
    state.counts[syncs]++;
    drain_until(((Event*)event)->stream, ((Event*)event)->done);
    return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* time, cudaEvent_t first, cudaEvent_t second) {
    auto *a = (Event*)first, *b = (Event*)second;
    if (!*a->done || !*b->done) return failed(cudaErrorNotReady, "cudaEventElapsedTime");
    *time = *b->time - *a->time;
    return cudaSuccess;
}

// ----- capture and graphs -----

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, enum cudaStreamCaptureMode mode) {
    auto* stream = stream_of(handle);
    if (stream == &state.null)
        return failed(cudaErrorStreamCaptureUnsupported, "capture of the default stream");
    if (stream->capture) return failed(cudaErrorIllegalState, "a second capture of a stream");
    stream->capture = new Graph;
    stream->invalid = false;
    stream->mode = mode;
    state.captures++;
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
    auto* stream = stream_of(handle);
    if (!stream->capture) return failed(cudaErrorIllegalState, "no capture to end");
    state.captures--;
    auto* found = std::exchange(stream->capture, nullptr);
    if (stream->invalid) {
        delete found;
        *graph = nullptr;
        return failed(cudaErrorStreamCaptureInvalidated, "cudaStreamEndCapture");
    }
    *graph = (cudaGraph_t)found;
    return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, enum cudaStreamCaptureStatus* status) {
    auto* stream = stream_of(handle);
    *status = !stream->capture  ? cudaStreamCaptureStatusNone
              : stream->invalid ? cudaStreamCaptureStatusInvalidated
                                : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete (Graph*)graph;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    NOT_IN_CAPTURE("cudaGraphExecDestroy");
    delete (Graph*)graph;
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
    *made = (cudaGraphExec_t) new Graph(*(Graph*)graph);
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream) {
    auto* graph = (Graph*)handle;
    state.counts[graphs]++;
    return enqueue(stream_of(stream), "graph", [graph] {
        for (auto& node : graph->nodes) node();
    });
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGraphDebugDotPrint(cudaGraph_t graph, const char* path, unsigned) {
    FILE* file = fopen(path, "w");
    if (!file) return failed(cudaErrorInvalidValue, path);
    fprintf(file, "digraph g {\n");
    int number = 0;
    for (auto& name : ((Graph*)graph)->names)
        fprintf(file, "n%d [label=\"%s\"];\n", number++, name.c_str());
    fprintf(file, "}\n");
    fclose(file);
    return cudaSuccess;
}

#include "device_driver.h"

// ----- for the other libraries, and for tests -----

int gpu_simulator_enqueue(void* stream, const char* name, void (*call)(void*), void* data) {
    state.counts[launches]++;
    state.kernels[name]++;
    return enqueue(stream_of(stream), name, [=] { call(data); });
}
int gpu_simulator_is_device(const void* place, size_t bytes) {
    return inside(state.device, place, bytes);
}
void gpu_simulator_counts(unsigned long* out) {
    memcpy(out, state.counts, sizeof state.counts);
    out[kCounts] = state.used;
    out[kCounts + 1] = state.peak;
}
void gpu_simulator_lazy(int lazy) {
    if (!lazy) drain_all();
    state.lazy = lazy;
}
void gpu_simulator_memory(size_t bytes) { state.total = bytes; }
// Lines of "kernel count", of all launches since the last call.
const char* gpu_simulator_kernels() {
    static std::string text;
    text.clear();
    for (auto& [name, count] : state.kernels) text += name + " " + std::to_string(count) + "\n";
    state.kernels.clear();
    return text.c_str();
}
}
