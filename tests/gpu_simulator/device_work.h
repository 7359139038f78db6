// What the simulated device is: its memory, and the work of its streams.
#pragma once
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
