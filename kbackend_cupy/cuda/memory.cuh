// Several neighbouring elements in one access.
namespace kb {

template <class T, int V> struct alignas(sizeof(T) * V) pack { T at[V]; };

// Whether packs may be read or written there: a view can begin anywhere.
template <class T, int V> __device__ __forceinline__ bool aligned(const T* place) {
    return (size_t)place % (sizeof(T) * V) == 0;
}
template <int V, class T> __device__ __forceinline__ pack<T, V> load_pack(const T* place) {
    if constexpr (V == 1) return {{*place}};
    else return *reinterpret_cast<const pack<T, V>*>(place);
}
template <int V, class T> __device__ __forceinline__ void store_pack(T* place, pack<T, V> value) {
    if constexpr (V == 1) *place = value.at[0];
    else *reinterpret_cast<pack<T, V>*>(place) = value;
}

}  // namespace kb
