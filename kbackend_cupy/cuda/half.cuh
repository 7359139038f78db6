// Numbers of 16 bits: computed in float32, rounded to the nearest when they are stored.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
namespace kb {
template <> struct computed<__half> { typedef float type; };
template <> struct computed<__nv_bfloat16> { typedef float type; };
template <> __device__ __forceinline__ float load<float, __half>(__half x) {
    return __half2float(x);
}
template <> __device__ __forceinline__ float load<float, __nv_bfloat16>(__nv_bfloat16 x) {
    return __bfloat162float(x);
}
template <> __device__ __forceinline__ __half store<__half, float>(float x) {
    return __float2half_rn(x);
}
template <> __device__ __forceinline__ __nv_bfloat16 store<__nv_bfloat16, float>(float x) {
    return __float2bfloat16_rn(x);
}
}  // namespace kb
