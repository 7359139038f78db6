// A CUDA runtime and driver that compute on the host, as far as CuPy calls them.
//
// Device memory is host memory, filled with NaN when it is allocated and checked in every copy.
// Streams are lazy if GPU_SIMULATOR_LAZY is 1: work is done when something waits for it, so that a
// missing synchronisation shows. Capture records work and graphs replay it; what CUDA forbids
// during a capture fails. Everything that a step may cost is counted.
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernel_table.h"

typedef std::function<void()> Work;

namespace {

struct Graph {
    std::vector<Work> nodes;
    std::vector<std::string> names;
};
struct Stream {
    unsigned flags = 0;
    int priority = 0;
    std::deque<Work> queue;
    Graph* capture = nullptr;
    bool invalid = false;
    int mode = 0;
    bool blocking() const { return !(flags & cudaStreamNonBlocking); }
};
struct Event {
    std::shared_ptr<bool> done = std::make_shared<bool>(true);
    std::shared_ptr<double> time = std::make_shared<double>(0);
    Stream* stream = nullptr;
};
// The order of these is that of `COUNTS` in activate.py.
enum Count { launches, to_device, to_host, on_device, syncs, allocations, graphs, kCounts };

constexpr int kCapability = 90;
constexpr size_t kAlignment = 512;

struct State {
    std::map<uintptr_t, size_t> device, host;
    size_t used = 0, peak = 0, total = (size_t)16 << 30;
    bool lazy = false;
    int captures = 0;
    cudaError_t last = cudaSuccess;
    Stream null;
    std::set<Stream*> streams{&null};
    unsigned long counts[kCounts] = {};
    std::map<std::string, unsigned long> kernels;
} state;

Stream* stream_of(void* handle) {
    // 0, 1 and 2 are the default streams.
    return (uintptr_t)handle <= 2 ? &state.null : (Stream*)handle;
}

cudaError_t failed(cudaError_t error, const char* what) {
    state.last = error;
    if (getenv("GPU_SIMULATOR_LOG")) fprintf(stderr, "simulated GPU: error %d: %s\n", error, what);
    return error;
}

bool inside(const std::map<uintptr_t, size_t>& blocks, const void* place, size_t bytes) {
    auto next = blocks.upper_bound((uintptr_t)place);
    if (next == blocks.begin()) return false;
    --next;
    return (uintptr_t)place + bytes <= next->first + next->second;
}

void drain(Stream* stream) {
    while (!stream->queue.empty()) {
        Work work = stream->queue.front();
        stream->queue.pop_front();
        work();
    }
}

void drain_blocking() {
    for (auto* stream : state.streams)
        if (stream->blocking()) drain(stream);
}

void drain_all() {
    for (auto* stream : state.streams) drain(stream);
}

// Does what a stream was given before an event, and nothing else: other work may still be late.
void drain_until(Stream* stream, const std::shared_ptr<bool>& done) {
    while (!*done && state.streams.count(stream) && !stream->queue.empty()) {
        Work work = stream->queue.front();
        stream->queue.pop_front();
        work();
    }
}

// Work in the order of a stream: now, later, or as a node of a graph.
cudaError_t enqueue(Stream* stream, const std::string& name, Work work) {
    if (stream->capture) {
        stream->capture->nodes.push_back(work);
        stream->capture->names.push_back(name);
        return cudaSuccess;
    }
    if (state.captures && stream == &state.null) {
        for (auto* other : state.streams)
            if (other->capture && other->blocking()) other->invalid = true;
        return failed(cudaErrorStreamCaptureImplicit, name.c_str());
    }
    if (!state.lazy) {
        work();
        return cudaSuccess;
    }
    if (stream == &state.null) {
        for (auto* other : state.streams)
            if (other != stream && other->blocking()) drain(other);
    } else if (stream->blocking()) {
        drain(&state.null);
    }
    stream->queue.push_back(work);
    return cudaSuccess;
}

// What may not be called while a stream captures, unless its mode is relaxed.
cudaError_t refused(const char* name) {
    bool found = false;
    if (state.captures)
        for (auto* stream : state.streams)
            if (stream->capture && stream->mode != cudaStreamCaptureModeRelaxed)
                stream->invalid = found = true;
    return found ? failed(cudaErrorStreamCaptureUnsupported, name) : cudaSuccess;
}
#define NOT_IN_CAPTURE(name) \
    if (cudaError_t error_ = refused(name)) return error_

cudaError_t allocate(void** place, size_t bytes) {
    *place = nullptr;
    if (bytes == 0) return cudaSuccess;
    if (state.used + bytes > state.total) return failed(cudaErrorMemoryAllocation, "out of memory");
    void* found = nullptr;
    if (posix_memalign(&found, kAlignment, bytes)) return failed(cudaErrorMemoryAllocation, "host");
    memset(found, 0xFF, bytes);
    state.device[(uintptr_t)found] = bytes;
    state.used += bytes;
    state.peak = std::max(state.peak, state.used);
    state.counts[allocations]++;
    *place = found;
    return cudaSuccess;
}

cudaError_t release(void* place) {
    if (!place) return cudaSuccess;
    auto found = state.device.find((uintptr_t)place);
    if (found == state.device.end()) return failed(cudaErrorInvalidValue, "free of what is none");
    memset(place, 0xFE, found->second);
    state.used -= found->second;
    state.device.erase(found);
    free(place);
    return cudaSuccess;
}

cudaError_t check_copy(const void* to, const void* from, size_t bytes, int kind) {
    if (bytes == 0) return cudaSuccess;
    if ((kind == 1 || kind == 3) && !inside(state.device, to, bytes))
        return failed(cudaErrorInvalidValue, "copy to what is not device memory");
    if ((kind == 2 || kind == 3) && !inside(state.device, from, bytes))
        return failed(cudaErrorInvalidValue, "copy from what is not device memory");
    if (kind == 1) state.counts[to_device]++;
    if (kind == 2) state.counts[to_host]++;
    // 4, by which CuPy copies arrays, lets the driver find out.
    if (kind == 3 || kind == 4) state.counts[on_device]++;
    return cudaSuccess;
}

cudaError_t new_stream(cudaStream_t* handle, unsigned flags, int priority) {
    NOT_IN_CAPTURE("cudaStreamCreate");
    auto* stream = new Stream;
    stream->flags = flags;
    stream->priority = priority;
    state.streams.insert(stream);
    *handle = (cudaStream_t)stream;
    return cudaSuccess;
}

double milliseconds() {
    auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double, std::milli>(now).count();
}

int attribute(int number) {
    switch (number) {
        case cudaDevAttrMaxThreadsPerBlock:
        case cudaDevAttrMaxBlockDimX:
        case cudaDevAttrMaxBlockDimY: return 1024;
        case cudaDevAttrMaxBlockDimZ: return 64;
        case cudaDevAttrMaxGridDimX: return 2147483647;
        case cudaDevAttrMaxGridDimY:
        case cudaDevAttrMaxGridDimZ: return 65535;
        case cudaDevAttrMaxSharedMemoryPerBlock: return 49152;
        case cudaDevAttrWarpSize: return 32;
        case cudaDevAttrMaxRegistersPerBlock: return 65536;
        case cudaDevAttrMultiProcessorCount: return 132;
        case cudaDevAttrMaxThreadsPerMultiProcessor: return 2048;
        case cudaDevAttrComputeCapabilityMajor: return kCapability / 10;
        case cudaDevAttrComputeCapabilityMinor: return kCapability % 10;
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return 233472;
        case cudaDevAttrCooperativeLaunch:
        case cudaDevAttrMemoryPoolsSupported: return 1;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: return 232448;
        default: return 0;
    }
}

}  // namespace

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

// ----- the driver, as far as CuPy asks for it -----

enum {
    kInvalidValue = 1,
    kNoDevice = 100,
    kInvalidImage = 200,
    kNotFound = 500,
    kTooLarge = 720,
    kNot = 801
};

int cuGetErrorName(int error, const char** name) {
    *name = error == kInvalidValue   ? "CUDA_ERROR_INVALID_VALUE"
            : error == kInvalidImage ? "CUDA_ERROR_INVALID_IMAGE"
            : error == kNotFound     ? "CUDA_ERROR_NOT_FOUND"
            : error == kTooLarge     ? "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE"
                                     : "CUDA_ERROR";
    return 0;
}
int cuGetErrorString(int error, const char** name) { return cuGetErrorName(error, name); }
int cuInit(unsigned) { return kNoDevice; }
int cuGetExportTable(const void** table, const void*) {
    *table = nullptr;
    return kNotFound;
}
int cuDriverGetVersion(int* version) {
    *version = 13020;
    return 0;
}
int cuDevicePrimaryCtxRelease(int) { return 0; }
int cuCtxGetCurrent(void** context) {
    *context = (void*)64;
    return 0;
}
int cuCtxSetCurrent(void*) { return 0; }
int cuCtxCreate(void** context, unsigned, int) {
    *context = (void*)64;
    return 0;
}
int cuCtxDestroy(void*) { return 0; }
int cuCtxGetDevice(int* device) {
    *device = 0;
    return 0;
}
int cuStreamGetCtx(void*, void** context) {
    *context = (void*)64;
    return 0;
}
int cuLinkCreate(unsigned, void*, void**, void**) { return kNot; }
int cuLinkAddData(void*, int, void*, size_t, const char*, unsigned, void*, void**) { return kNot; }
int cuLinkAddFile(void*, int, const char*, unsigned, void*, void**) { return kNot; }
int cuLinkComplete(void*, void**, size_t*) { return kNot; }
int cuLinkDestroy(void*) { return 0; }
int cuModuleLoad(void**, const char*) { return kNot; }
int cuModuleLoadData(void** module, const void* image) {
    // In place of machine code: the path of a library that g++ made.
    if (memcmp(image, "ON_CPU:", 7)) return kInvalidImage;
    *module = dlopen((const char*)image + 7, RTLD_NOW | RTLD_LOCAL);
    if (*module) return 0;
    fprintf(stderr, "simulated GPU: %s\n", dlerror());
    return kInvalidImage;
}
int cuModuleUnload(void*) { return 0; }
int cuModuleGetFunction(void** function, void* module, const char* name) {
    *function = dlsym(module, (std::string("on_cpu_kernel_") + name).c_str());
    return *function ? 0 : kNotFound;
}
int cuModuleGetGlobal(void** place, size_t* size, void* module, const char* name) {
    void* symbol = dlsym(module, name);
    if (!symbol) return kNotFound;
    Dl_info info;
    const ElfW(Sym)* entry = nullptr;
    dladdr1(symbol, &info, (void**)&entry, RTLD_DL_SYMENT);
    if (place) *place = symbol;
    if (size) *size = entry ? entry->st_size : 0;
    if (entry) state.device[(uintptr_t)symbol] = entry->st_size;
    return 0;
}
int cuFuncGetAttribute(int* value, int number, void*) {
    *value = number == 0 ? 1024 : number == 4 ? 32 : 0;
    return 0;
}
int cuFuncSetAttribute(void* function, int number, int value) {
    if (number != 8) return 0;
    if (value > attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)) return kInvalidValue;
    ((KernelTable*)function)->shared_limit = value;
    return 0;
}
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void*, int threads, size_t) {
    *blocks = 2048 / std::max(threads, 1);
    return 0;
}
int cuOccupancyMaxPotentialBlockSize(int* grid, int* block, void*, void*, size_t, int limit) {
    *grid = 264;
    *block = limit > 0 && limit < 512 ? limit : 512;
    return 0;
}
int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared, void* stream, void** params, void**) {
    auto* kernel = (KernelTable*)function;
    const size_t threads = (size_t)bx * by * bz;
    if (!gx || !gy || !gz || !threads || threads > 1024 || bz > 64 || gx > 2147483647u ||
        gy > 65535 || gz > 65535 || (int)shared > kernel->shared_limit) {
        fprintf(stderr,
                "simulated GPU: %s: no launch with grid (%u,%u,%u), block (%u,%u,%u), %u bytes\n",
                kernel->name, gx, gy, gz, bx, by, bz, shared);
        return kInvalidValue;
    }
    state.counts[launches]++;
    state.kernels[kernel->name]++;
    // Arguments are copied: the caller may change them as soon as this returns.
    std::vector<std::string> values;
    for (int i = 0; i < kernel->count; i++) values.emplace_back((char*)params[i], kernel->sizes[i]);
    return enqueue(stream_of(stream), kernel->name, [=]() mutable {
        std::vector<void*> places;
        for (auto& value : values) places.push_back(value.data());
        const unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
        kernel->run(grid, block, shared, places.data());
    });
}
int cuLaunchCooperativeKernel(void* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                              unsigned by, unsigned bz, unsigned shared, void* stream,
                              void** params) {
    if ((size_t)gx * gy * gz > 264) return kTooLarge;
    return cuLaunchKernel(f, gx, gy, gz, bx, by, bz, shared, stream, params, nullptr);
}

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
