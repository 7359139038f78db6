// Products of tiles in shared memory. 16 neighbouring threads have a row of the results in common:
// of `I` rows, each `Y` behind the one before, every thread makes `J` elements. Rows begin where a
// quad may be read.
namespace kb {

// A column of a thread: neighbours read and write `V` elements each, side by side.
template <int V> __device__ __forceinline__ unsigned column(int j) {
    return j / V * 16 * V + threadIdx.x % 16 * V + j % V;
}

// sum[i][j] += row i of x, times row j of y: rows of `N` elements, `X` and `XY` apart.
template <int I, int J, int Y, int N, int X, int XY>
__device__ __forceinline__ void along(float (&sum)[I][J], const float* x, const float* y) {
    x += threadIdx.x / 16 * X;
    y += threadIdx.x % 16 * XY;
#pragma unroll 2
    for (int k = 0; k < N; k += 4) {
        pack<float, 4> b[J];
#pragma unroll
        for (int j = 0; j < J; ++j) b[j] = load_pack<4>(y + j * 16 * XY + k);
#pragma unroll
        for (int i = 0; i < I; ++i) {
            const auto a = load_pack<4>(x + i * Y * X + k);
#pragma unroll
            for (int j = 0; j < J; ++j)
#pragma unroll
                for (int q = 0; q < 4; ++q) sum[i][j] += a.at[q] * b[j].at[q];
        }
    }
}

// sum[i][j] += row i of x, times column j of y: `N` elements, rows `X` and `XY` apart.
template <int I, int J, int V, int Y, int N, int X, int XY>
__device__ __forceinline__ void across(float (&sum)[I][J], const float* x, const float* y) {
    x += threadIdx.x / 16 * X;
    y += threadIdx.x % 16 * V;
#pragma unroll 2
    for (int k = 0; k < N; k += 4) {
        pack<float, 4> a[I];
#pragma unroll
        for (int i = 0; i < I; ++i) a[i] = load_pack<4>(x + i * Y * X + k);
#pragma unroll
        for (int q = 0; q < 4; ++q)
#pragma unroll
            for (int j = 0; j < J; j += V) {
                const auto b = load_pack<V>(y + (k + q) * XY + j * 16);
#pragma unroll
                for (int i = 0; i < I; ++i)
#pragma unroll
                    for (int v = 0; v < V; ++v) sum[i][j + v] += a[i].at[q] * b.at[v];
            }
    }
}

// Writes what a thread has of a row of `N` elements, scaled.
template <int J, int V, int N, class T>
__device__ __forceinline__ void write_row(T* place, const float (&sum)[J], float factor) {
    const bool whole = N % V == 0 && aligned<T, V>(place);
#pragma unroll
    for (int j = 0; j < J; j += V) {
        const unsigned first = column<V>(j);
        pack<T, V> made;
#pragma unroll
        for (int v = 0; v < V; ++v) made.at[v] = store<T>(sum[j + v] * factor);
        if (whole) {
            if (first < N) store_pack<V>(place + first, made);
            continue;
        }
#pragma unroll
        for (int v = 0; v < V; ++v)
            if (first + v < N) place[first + v] = made.at[v];
    }
}

}  // namespace kb
