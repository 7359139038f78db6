// Reductions, always in the same order, so that each run gives the same bits.
namespace kb {

struct reduce_sum {
    template <class T> static __device__ __forceinline__ T of(T x, T y) { return add(x, y); }
};
struct reduce_prod {
    template <class T> static __device__ __forceinline__ T of(T x, T y) { return mul(x, y); }
};
struct reduce_max {
    template <class T> static __device__ __forceinline__ T of(T x, T y) { return maximum(x, y); }
};
struct reduce_min {
    template <class T> static __device__ __forceinline__ T of(T x, T y) { return minimum(x, y); }
};

template <class T> __device__ __forceinline__ T exchanged(T x, int distance) {
    if constexpr (sizeof(T) < 4) return (T)__shfl_xor_sync(0xffffffffu, (int)x, distance);
    else return __shfl_xor_sync(0xffffffffu, x, distance);
}

// Of groups of `N` neighbouring threads, a power of two; each thread gets its group's result. All
// threads of the block must come here, and if N > 32 they are one group.
template <class Op, int N, class T> __device__ __forceinline__ T of_group(T x) {
#pragma unroll
    for (int distance = (N < 32 ? N : 32) / 2; distance; distance /= 2)
        x = Op::of(x, exchanged(x, distance));
    if constexpr (N > 32) {
        __shared__ T warps[N / 32];
        if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
        __syncthreads();
        x = warps[0];
#pragma unroll
        for (int i = 1; i < N / 32; ++i) x = Op::of(x, warps[i]);
        // The next reduction writes to the same memory.
        __syncthreads();
    }
    return x;
}

// Of the rows of a block of X times Y threads, X to a row; the first row's threads get their column's
// result. They alone write to what they read last, so the next reduction need not wait.
template <class Op, int X, int Y, class T> __device__ __forceinline__ T of_column(T x) {
    __shared__ T shares[X * Y];
    const unsigned column = threadIdx.x % X, row = threadIdx.x / X;
    shares[threadIdx.x] = x;
    __syncthreads();
#pragma unroll
    for (int half = Y / 2; half; half /= 2) {
        if (row < half) {
            T& own = shares[threadIdx.x];
            own = Op::of(own, shares[(row + half) * X + column]);
        }
        __syncthreads();
    }
    return shares[column];
}

}  // namespace kb
