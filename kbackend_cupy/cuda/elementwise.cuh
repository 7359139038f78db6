// Elementwise operations. Integers wrap around, NaN stays NaN, division of integers by 0 gives 0.
namespace kb {

template <class A, class B> struct same { static constexpr bool value = false; };
template <class A> struct same<A, A> { static constexpr bool value = true; };
template <class T> struct floating {
    static constexpr bool value = same<T, float>::value || same<T, double>::value;
};
template <class T> struct negative {
    static constexpr bool value = T(-1) < T(0);
};
typedef unsigned long long wide;

// In what numbers of a dtype are computed: those of 16 bits in float32, rounded after each operation.
template <class T> struct computed { typedef T type; };

template <class C, class T> __device__ __forceinline__ C load(T x) { return x; }
template <class T, class C> __device__ __forceinline__ T store(C x) { return x; }
template <class T> __device__ __forceinline__ float rounded(float x) {
    return load<float>(store<T>(x));
}

// ----- arithmetic -----

template <class T> __device__ __forceinline__ T add(T x, T y) {
    if constexpr (same<T, bool>::value) return x || y;
    else if constexpr (floating<T>::value) return x + y;
    else return (T)((wide)x + (wide)y);
}
template <class T> __device__ __forceinline__ T sub(T x, T y) {
    if constexpr (floating<T>::value) return x - y;
    else return (T)((wide)x - (wide)y);
}
template <class T> __device__ __forceinline__ T mul(T x, T y) {
    if constexpr (same<T, bool>::value) return x && y;
    else if constexpr (floating<T>::value) return x * y;
    else return (T)((wide)x * (wide)y);
}
template <class T> __device__ __forceinline__ T div(T x, T y) { return x / y; }
template <class T> __device__ __forceinline__ T neg(T x) {
    if constexpr (floating<T>::value) return -x;
    else return (T)(0 - (wide)x);
}
template <class T> __device__ __forceinline__ T abs(T x) {
    if constexpr (floating<T>::value) return ::fabs(x);
    else if constexpr (negative<T>::value) return x < 0 ? neg(x) : x;
    else return x;
}
template <class T> __device__ __forceinline__ T sign(T x) {
    if constexpr (floating<T>::value) return x > 0 ? T(1) : x < 0 ? T(-1) : x;
    else if constexpr (negative<T>::value) return x > 0 ? T(1) : x < 0 ? T(-1) : T(0);
    else return x > 0;
}
template <class T> __device__ __forceinline__ T maximum(T x, T y) {
    return x > y || x != x ? x : y;
}
template <class T> __device__ __forceinline__ T minimum(T x, T y) {
    return x < y || x != x ? x : y;
}
// The remainder has the sign of the divisor.
template <class T> __device__ __forceinline__ T mod(T x, T y) {
    if constexpr (floating<T>::value) {
        const T rest = ::fmod(x, y);
        if (rest == 0) return ::copysign(T(0), y);
        return (rest < 0) != (y < 0) ? rest + y : rest;
    } else if constexpr (negative<T>::value) {
        if (y == 0 || y == T(-1)) return 0;
        const T rest = x % y;
        return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
    } else {
        return y == 0 ? T(0) : T(x % y);
    }
}
template <class T> __device__ __forceinline__ T floor_divide(T x, T y) {
    if constexpr (floating<T>::value) {
        if (y == 0) return x / y;
        const T rest = ::fmod(x, y);
        const bool low = rest != 0 && (rest < 0) != (y < 0);
        const T quotient = (x - rest) / y - (low ? T(1) : T(0));
        if (quotient == 0) return ::copysign(T(0), x / y);
        const T whole = ::floor(quotient);
        return quotient - whole > T(0.5) ? whole + 1 : whole;
    } else if constexpr (negative<T>::value) {
        if (y == 0) return 0;
        if (y == T(-1)) return neg(x);
        const T quotient = x / y;
        return x % y != 0 && (x < 0) != (y < 0) ? quotient - 1 : quotient;
    } else {
        return y == 0 ? T(0) : T(x / y);
    }
}

// ----- functions -----

template <class T> __device__ __forceinline__ T exp(T x) { return ::exp(x); }
template <class T> __device__ __forceinline__ T expm1(T x) { return ::expm1(x); }
template <class T> __device__ __forceinline__ T log(T x) { return ::log(x); }
template <class T> __device__ __forceinline__ T log1p(T x) { return ::log1p(x); }
template <class T> __device__ __forceinline__ T sqrt(T x) { return ::sqrt(x); }
template <class T> __device__ __forceinline__ T rsqrt(T x) { return T(1) / ::sqrt(x); }
template <class T> __device__ __forceinline__ T sin(T x) { return ::sin(x); }
template <class T> __device__ __forceinline__ T cos(T x) { return ::cos(x); }
template <class T> __device__ __forceinline__ T tanh(T x) { return ::tanh(x); }
template <class T> __device__ __forceinline__ T sigmoid(T x) { return T(1) / (T(1) + ::exp(-x)); }
template <class T> __device__ __forceinline__ T erf(T x) { return ::erf(x); }
template <class T> __device__ __forceinline__ T erfinv(T x) { return ::erfinv(x); }
template <class T> __device__ __forceinline__ T floor(T x) { return ::floor(x); }
template <class T> __device__ __forceinline__ T ceil(T x) { return ::ceil(x); }
template <class T> __device__ __forceinline__ T round(T x) { return ::rint(x); }
template <class T> __device__ __forceinline__ T pow(T x, T y) { return ::pow(x, y); }
template <class T> __device__ __forceinline__ T atan2(T x, T y) { return ::atan2(x, y); }
template <class T> __device__ __forceinline__ bool isfinite(T x) { return x - x == 0; }

// ----- bits -----

template <class T> __device__ __forceinline__ T bitwise_and(T x, T y) { return x & y; }
template <class T> __device__ __forceinline__ T bitwise_or(T x, T y) { return x | y; }
template <class T> __device__ __forceinline__ T bitwise_xor(T x, T y) { return x ^ y; }
// Whether a shift leaves bits.
template <class T> __device__ __forceinline__ bool within(T by) {
    return by >= 0 && (wide)by < 8 * sizeof(T);
}
template <class T> __device__ __forceinline__ T shift_left(T x, T by) {
    return within(by) ? (T)((wide)x << by) : T(0);
}
template <class T> __device__ __forceinline__ T shift_right(T x, T by) {
    return within(by) ? (T)(x >> by) : x < 0 ? (T)-1 : T(0);
}

// ----- choices, casts -----

template <class T> __device__ __forceinline__ bool eq(T x, T y) { return x == y; }
template <class T> __device__ __forceinline__ bool ne(T x, T y) { return x != y; }
template <class T> __device__ __forceinline__ bool lt(T x, T y) { return x < y; }
template <class T> __device__ __forceinline__ bool le(T x, T y) { return x <= y; }
template <class T> __device__ __forceinline__ T select(bool condition, T x, T y) {
    return condition ? x : y;
}
template <class T> __device__ __forceinline__ T copy(T x) { return x; }
template <class To, class T> __device__ __forceinline__ To cast(T x) {
    if constexpr (same<To, bool>::value) return x != T(0);
    else if constexpr (floating<T>::value && !floating<To>::value) {
        // What is out of range keeps its low bits.
        if constexpr (same<To, unsigned long long>::value) return x < 0 ? (To)(long long)x : (To)x;
        else return (To)(long long)x;
    } else return (To)x;
}
template <class To, class T> __device__ __forceinline__ To bitcast(T x) {
    static_assert(sizeof(To) == sizeof(T), "bitcast changes the width");
    union { T from; To to; } both;
    both.from = x;
    return both.to;
}

}  // namespace kb
