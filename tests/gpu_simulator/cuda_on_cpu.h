// CUDA C++ on the CPU. A kernel's text is compiled by g++ behind this header and does the same.
//
// Blocks run one after the other. In a block each thread is a fiber with a stack of its own: it
// runs until a barrier or a shuffle makes it wait, then the next one does. The order of threads and
// blocks is set by the variable GPU_SIMULATOR_ORDER: forward, reverse or random, where moreover
// each warp goes as far as it can before the next one does. A kernel whose result depends on it
// lacks a barrier. Shared memory begins as NaN, so that reading what nobody wrote shows.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <math.h>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <cuda_runtime.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernel_table.h"

#undef __shared__
#define __shared__ static
#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __grid_constant__
#define __grid_constant__
#undef __constant__
#define __constant__
#define __CUDACC_VER_MAJOR__ 13

namespace on_cpu {

constexpr size_t kStack = 64 << 10;
constexpr unsigned kWarp = 32;
constexpr unsigned kAll = 0xffffffffu;

struct Place {
    uint3 thread, block;
    dim3 block_size, grid_size;
    unsigned lane;  // number of the thread in its block
};
struct Fiber {
    void* stack;
    uint3 thread;
    bool done;
};
struct Warp {
    unsigned arrived = 0, round = 0, alive = 0;
    unsigned long long slots[kWarp];
};

static Place here;
static std::vector<Fiber> fibers;
static std::vector<Warp> warps;
static unsigned running, alive, waiting, barrier_round;
static int votes, vote_result;
static void* scheduler;
static bool fibered;
static unsigned long events, block_number;
static char* dynamic_memory;
typedef void (*Body)(void**);
static Body body;
static void** arguments;

// Saves the registers that a call must keep, and goes on with another stack.
extern "C" void on_cpu_switch(void** save, void* to);
asm(R"(.text
.local on_cpu_switch
.type on_cpu_switch,@function
on_cpu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp,(%rdi)
    movq %rsi,%rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size on_cpu_switch,.-on_cpu_switch
)");

[[noreturn]] static void die(const char* why) {
    fprintf(stderr, "simulated GPU: %s; block (%u,%u,%u), thread (%u,%u,%u)\n", why, here.block.x,
            here.block.y, here.block.z, here.thread.x, here.thread.y, here.thread.z);
    abort();
}

[[gnu::noinline]] static void yield() { on_cpu_switch(&fibers[running].stack, scheduler); }

// ----- waiting for each other -----

static void meet_warp(unsigned mask) {
    if (!fibered) die("a warp meets in a kernel without barriers");
    const unsigned lane = here.lane % kWarp;
    Warp& warp = warps[here.lane / kWarp];
    if (!(mask >> lane & 1)) die("a thread is not in its own mask");
    const unsigned round = warp.round;
    warp.arrived |= 1u << lane;
    ++events;
    if ((warp.arrived & mask) == (mask & warp.alive)) {
        warp.arrived &= ~mask;
        ++warp.round;
    } else {
        while (warp.round == round) yield();
    }
}

static void release_block() {
    waiting = 0;
    ++barrier_round;
    vote_result = votes;
    votes = 0;
}

static void meet_block() {
    if (!fibered) die("__syncthreads in a kernel without barriers");
    const unsigned round = barrier_round;
    ++events;
    if (++waiting == alive) {
        release_block();
    } else {
        while (barrier_round == round) yield();
    }
}

template <class T>
static T shuffle(unsigned mask, T value, int source) {
    static_assert(sizeof(T) <= 8);
    Warp& warp = warps[here.lane / kWarp];
    memcpy(&warp.slots[here.lane % kWarp], &value, sizeof value);
    meet_warp(mask);
    T result;
    if (!(mask >> source & 1) || !(warp.alive >> source & 1)) {
        memset(&result, 0xFF, sizeof result);  // nobody's value
    } else {
        memcpy(&result, &warp.slots[source], sizeof result);
    }
    meet_warp(mask);
    return result;
}

// A static array in shared memory, as each block finds it.
static void poison(void* memory, size_t bytes) {
    static std::vector<std::pair<void*, unsigned long>> seen;
    for (auto& [known, block] : seen) {
        if (known != memory) continue;
        if (block != block_number) memset(memory, 0xFF, bytes);
        block = block_number;
        return;
    }
    seen.push_back({memory, block_number});
    memset(memory, 0xFF, bytes);
}

// ----- a launch -----

static void fiber() {
    body(arguments);
    fibers[running].done = true;
    --alive;
    ++events;
    warps[here.lane / kWarp].alive &= ~(1u << here.lane % kWarp);
    if (alive && waiting == alive) release_block();
    for (;;) yield();
}

static uint3 position(unsigned number, const unsigned* size) {
    return make_uint3(number % size[0], number / size[0] % size[1], number / size[0] / size[1]);
}

enum Order { forward, reverse, shuffled };

static Order order_wanted() {
    const char* name = getenv("GPU_SIMULATOR_ORDER");
    if (!name || !strcmp(name, "forward")) return forward;
    return !strcmp(name, "reverse") ? reverse : shuffled;
}

static std::vector<unsigned> ordered(unsigned count, Order order, unsigned& seed) {
    std::vector<unsigned> numbers(count);
    for (unsigned i = 0; i < count; i++) numbers[i] = order == reverse ? count - 1 - i : i;
    if (order == shuffled) {
        for (unsigned i = count; i-- > 1;) {
            seed = seed * 1664525u + 1013904223u;
            std::swap(numbers[i], numbers[(seed >> 8) % (i + 1)]);
        }
    }
    return numbers;
}

static void resume(unsigned number) {
    if (fibers[number].done) return;
    running = number;
    here.lane = number;
    here.thread = fibers[number].thread;
    on_cpu_switch(&scheduler, fibers[number].stack);
}

// The warps in the order in which their first threads come.
static std::vector<unsigned> warps_of(const std::vector<unsigned>& order) {
    std::vector<unsigned> found;
    for (unsigned i : order)
        if (std::find(found.begin(), found.end(), i / kWarp) == found.end())
            found.push_back(i / kWarp);
    return found;
}

static void run_fibers(const std::vector<unsigned>& order, const unsigned* block) {
    static std::vector<char> stacks;
    const unsigned count = order.size();
    if (stacks.size() < kStack * count) stacks.resize(kStack * count);
    fibers.resize(count);
    warps.assign((count + kWarp - 1) / kWarp, Warp());
    alive = count;
    waiting = 0;
    votes = vote_result = 0;
    for (unsigned i = 0; i < count; i++) {
        warps[i / kWarp].alive |= 1u << i % kWarp;
        void** top = (void**)((uintptr_t)(stacks.data() + kStack * (i + 1)) & ~(uintptr_t)63);
        *--top = nullptr;
        *--top = (void*)fiber;
        for (int k = 0; k < 6; k++) *--top = nullptr;
        fibers[i] = {top, position(i, block), false};
    }
    while (alive) {
        const unsigned long before = events;
        if (order_wanted() == shuffled) {
            // A warp goes as far as it can while the others stand still.
            for (unsigned first : warps_of(order)) {
                unsigned long begun;
                do {
                    begun = events;
                    for (unsigned i : order)
                        if (i / kWarp == first) resume(i);
                } while (events != begun);
            }
        } else {
            for (unsigned i : order) resume(i);
        }
        if (events == before && alive) die("deadlock: not all threads come to a barrier");
    }
}

static void launch(const unsigned* grid, const unsigned* block, size_t shared, void** params,
                   Body kernel, bool with_fibers) {
    static std::vector<char> memory;
    memory.resize(shared + 64);
    dynamic_memory = (char*)(((uintptr_t)memory.data() + 63) & ~(uintptr_t)63);
    fibered = with_fibers;
    body = kernel;
    arguments = params;
    here.grid_size = dim3(grid[0], grid[1], grid[2]);
    here.block_size = dim3(block[0], block[1], block[2]);
    const unsigned threads = block[0] * block[1] * block[2];
    const Order order = order_wanted();
    unsigned seed = 12345;
    for (unsigned number : ordered(grid[0] * grid[1] * grid[2], order, seed)) {
        here.block = position(number, grid);
        ++block_number;
        memset(dynamic_memory, 0xFF, shared);
        const auto threads_in_order = ordered(threads, order, seed);
        if (with_fibers) {
            run_fibers(threads_in_order, block);
            continue;
        }
        for (unsigned i : threads_in_order) {
            here.lane = i;
            here.thread = position(i, block);
            kernel(params);
        }
    }
}

template <auto K>
struct Entry;
template <class... Args, void (*K)(Args...)>
struct Entry<K> {
    template <size_t... I>
    static void call(void** params, std::index_sequence<I...>) {
        K(*(std::decay_t<Args>*)params[I]...);
    }
    static void unpack(void** params) { call(params, std::index_sequence_for<Args...>()); }
    static void run(const unsigned* grid, const unsigned* block, size_t shared, void** params) {
#ifdef ON_CPU_WITHOUT_BARRIERS
        launch(grid, block, shared, params, unpack, false);
#else
        launch(grid, block, shared, params, unpack, true);
#endif
    }
    static constexpr size_t sizes[sizeof...(Args) + 1] = {sizeof(std::decay_t<Args>)..., 0};
    static constexpr int count = sizeof...(Args);
};

template <class To, class From>
static inline To bits_as(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To result;
    memcpy(&result, &value, sizeof result);
    return result;
}

}  // namespace on_cpu

#define ON_CPU_KERNEL(name, function)                                                      \
    extern "C" __attribute__((visibility("default"))) KernelTable on_cpu_kernel_##name = { \
        on_cpu::Entry<&function>::run, on_cpu::Entry<&function>::count,                    \
        on_cpu::Entry<&function>::sizes, #name, 49152};

// ----- what CUDA has built in -----

#define threadIdx (on_cpu::here.thread)
#define blockIdx (on_cpu::here.block)
#define blockDim (on_cpu::here.block_size)
#define gridDim (on_cpu::here.grid_size)
#define warpSize 32
#define INLINE static inline

INLINE void __syncthreads() { on_cpu::meet_block(); }
INLINE int __syncthreads_or(int p) {
    on_cpu::votes |= !!p;
    on_cpu::meet_block();
    return on_cpu::vote_result;
}
INLINE int __syncthreads_count(int p) {
    on_cpu::votes += !!p;
    on_cpu::meet_block();
    return on_cpu::vote_result;
}
INLINE void __syncwarp(unsigned mask = on_cpu::kAll) { on_cpu::meet_warp(mask); }
INLINE void __threadfence() {}
INLINE void __threadfence_block() {}
INLINE int on_cpu_lane() { return on_cpu::here.lane % on_cpu::kWarp; }
template <class T>
INLINE T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    return on_cpu::shuffle(mask, value, (on_cpu_lane() & ~(width - 1)) | (source & (width - 1)));
}
template <class T>
INLINE T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
    const int lane = on_cpu_lane(), source = lane + (int)by;
    const bool inside = (source & ~(width - 1)) == (lane & ~(width - 1));
    return on_cpu::shuffle(mask, value, inside ? source : lane);
}
template <class T>
INLINE T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
    const int lane = on_cpu_lane(), source = lane - (int)by;
    return on_cpu::shuffle(mask, value, source < (lane & ~(width - 1)) ? lane : source);
}
template <class T>
INLINE T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
    const int lane = on_cpu_lane(), source = lane ^ bits;
    return on_cpu::shuffle(mask, value,
                           (source & ~(width - 1)) > (lane & ~(width - 1)) ? lane : source);
}
INLINE unsigned __ballot_sync(unsigned mask, int p) {
    auto& warp = on_cpu::warps[on_cpu::here.lane / on_cpu::kWarp];
    warp.slots[on_cpu_lane()] = !!p;
    on_cpu::meet_warp(mask);
    unsigned result = 0;
    for (int i = 0; i < 32; i++)
        if ((mask & warp.alive) >> i & 1) result |= (unsigned)warp.slots[i] << i;
    on_cpu::meet_warp(mask);
    return result;
}
INLINE int __any_sync(unsigned mask, int p) { return __ballot_sync(mask, p) != 0; }
INLINE int __all_sync(unsigned mask, int p) { return __ballot_sync(mask, !p) == 0; }
INLINE unsigned __activemask() { return on_cpu::warps[on_cpu::here.lane / on_cpu::kWarp].alive; }

// Fibers don't interrupt each other, so an atomic operation is an ordinary one.
#define ON_CPU_ATOMIC(T, name, expression) \
    INLINE T name(T* place, T value) {     \
        const T old = *place;              \
        *place = (expression);             \
        return old;                        \
    }
#define ON_CPU_ATOMICS(T)                    \
    ON_CPU_ATOMIC(T, atomicAdd, old + value) \
    ON_CPU_ATOMIC(T, atomicExch, value)
#define ON_CPU_INTEGER_ATOMICS(T)                          \
    ON_CPU_ATOMIC(T, atomicMax, value > old ? value : old) \
    ON_CPU_ATOMIC(T, atomicMin, value < old ? value : old) \
    ON_CPU_ATOMIC(T, atomicAnd, old& value)                \
    ON_CPU_ATOMIC(T, atomicOr, old | value)                \
    ON_CPU_ATOMIC(T, atomicXor, old ^ value)               \
    INLINE T atomicCAS(T* place, T compare, T value) {     \
        const T old = *place;                              \
        if (old == compare) *place = value;                \
        return old;                                        \
    }
ON_CPU_ATOMICS(int)
ON_CPU_ATOMICS(unsigned)
ON_CPU_ATOMICS(unsigned long long)
ON_CPU_ATOMICS(float)
ON_CPU_ATOMICS(double)
ON_CPU_INTEGER_ATOMICS(int)
ON_CPU_INTEGER_ATOMICS(unsigned)
ON_CPU_INTEGER_ATOMICS(unsigned long long)
INLINE int atomicSub(int* place, int value) { return atomicAdd(place, -value); }
// Half precision, for CuPy's own header.
INLINE unsigned short int atomicCAS(unsigned short int* p, unsigned short int c,
                                    unsigned short int v) {
    const unsigned short int old = *p;
    if (old == c) *p = v;
    return old;
}

INLINE unsigned __umulhi(unsigned a, unsigned b) {
    return (unsigned)((unsigned long long)a * b >> 32);
}
INLINE unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
INLINE int __popc(unsigned x) { return __builtin_popcount(x); }
INLINE int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
INLINE int __clz(int x) { return x ? __builtin_clz(x) : 32; }
INLINE int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
INLINE int __ffs(int x) { return __builtin_ffs(x); }
INLINE unsigned __brev(unsigned x) {
    unsigned result = 0;
    for (int i = 0; i < 32; i++) result |= (x >> i & 1u) << (31 - i);
    return result;
}
template <class T>
INLINE T __ldg(const T* place) {
    return *place;
}
INLINE float __int_as_float(int x) { return on_cpu::bits_as<float>(x); }
INLINE float __uint_as_float(unsigned x) { return on_cpu::bits_as<float>(x); }
INLINE int __float_as_int(float x) { return on_cpu::bits_as<int>(x); }
INLINE unsigned __float_as_uint(float x) { return on_cpu::bits_as<unsigned>(x); }
INLINE double __longlong_as_double(long long x) { return on_cpu::bits_as<double>(x); }
INLINE long long __double_as_longlong(double x) { return on_cpu::bits_as<long long>(x); }
INLINE float rsqrtf(float x) { return 1.0f / sqrtf(x); }
INLINE double rsqrt(double x) { return 1.0 / sqrt(x); }
INLINE float rsqrt(float x) { return rsqrtf(x); }
INLINE float __expf(float x) { return expf(x); }
INLINE float __logf(float x) { return logf(x); }
INLINE float __powf(float x, float y) { return powf(x, y); }
INLINE float __fdividef(float a, float b) { return a / b; }
INLINE float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
INLINE float __fmul_rn(float a, float b) { return a * b; }
INLINE float __fadd_rn(float a, float b) { return a + b; }
INLINE double __dmul_rn(double a, double b) { return a * b; }
INLINE double __dadd_rn(double a, double b) { return a + b; }
INLINE float __frcp_rn(float a) { return 1.f / a; }
INLINE float __fsqrt_rn(float a) { return sqrtf(a); }
INLINE float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.f) : 0.f; }
INLINE int __float2int_rn(float x) { return (int)nearbyintf(x); }
INLINE float __uint2float_rn(unsigned x) { return (float)x; }
INLINE float __int2float_rn(int x) { return (float)x; }
INLINE float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678118654752440f); }
INLINE double normcdf(double x) { return 0.5 * erfc(-x * 0.70710678118654752440); }

// The inverse of the error function, by Newton's method: enough digits for a simulation.
INLINE double erfinv(double y) {
    if (!(fabs(y) < 1)) return fabs(y) == 1 ? y * INFINITY : NAN;
    const double l = log1p(-y * y), t = 4.330746750799873 + l / 2;
    double x = copysign(sqrt(sqrt(t * t - l / 0.147) - t), y);
    for (int i = 0; i < 4; i++) x -= (erf(x) - y) / (1.1283791670955126 * exp(-x * x));
    return x;
}
INLINE float erfinv(float y) { return (float)erfinv((double)y); }
INLINE float erfinvf(float y) { return erfinv(y); }

using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;
template <class A, class B,
          class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
INLINE std::common_type_t<A, B> max(A a, B b) {
    typedef std::common_type_t<A, B> T;
    if constexpr (std::is_floating_point_v<T>)
        return fmax((T)a, (T)b);
    else
        return (T)a > (T)b ? (T)a : (T)b;
}
template <class A, class B,
          class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
INLINE std::common_type_t<A, B> min(A a, B b) {
    typedef std::common_type_t<A, B> T;
    if constexpr (std::is_floating_point_v<T>)
        return fmin((T)a, (T)b);
    else
        return (T)a < (T)b ? (T)a : (T)b;
}
#undef INLINE
