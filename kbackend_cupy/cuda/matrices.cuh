// Neighbouring elements of an operand, in the type that they are computed in.
namespace kb {

template <class C, int V, class T>
__device__ __forceinline__ pack<C, V> values(const T* place, bool aligned) {
    pack<T, V> read;
    if (V > 1 && aligned) {
        read = load_pack<V>(place);
    } else {
#pragma unroll
        for (int i = 0; i < V; ++i) read.at[i] = place[i];
    }
    pack<C, V> found;
#pragma unroll
    for (int i = 0; i < V; ++i) found.at[i] = load<C>(read.at[i]);
    return found;
}

}  // namespace kb
