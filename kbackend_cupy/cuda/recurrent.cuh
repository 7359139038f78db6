// What the steps of recurrent layers need besides.
namespace kb {

// The slope of the sigmoid where its value is `s`.
template <class T> __device__ __forceinline__ T slope(T s) { return s * (1 - s); }

}  // namespace kb
