// Mean and variance in a single pass: B. P. Welford, "Note on a method for calculating corrected sums
// of squares and products", Technometrics 4 (1962); T. F. Chan, G. H. Golub, R. J. LeVeque,
// "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
namespace kb {

// Of `count` elements: their sum, their mean, and the sum of squares of what they differ from it.
template <class T> struct spread { T count, sum, mean, squares; };

template <class T> __device__ __forceinline__ spread<T> with(spread<T> x, T value) {
    const T count = x.count + T(1), apart = value - x.mean, mean = x.mean + apart / count;
    return {count, x.sum + value, mean, x.squares + apart * (value - mean)};
}

struct both {
    template <class T> static __device__ __forceinline__ spread<T> of(spread<T> x, spread<T> y) {
        if (y.count == T(0)) return x;
        if (x.count == T(0)) return y;
        const T count = x.count + y.count, apart = y.mean - x.mean, share = y.count / count;
        const T squares = x.squares + y.squares + apart * apart * (x.count * share);
        return {count, x.sum + y.sum, x.mean + apart * share, squares};
    }
};

}  // namespace kb
