"""Scans, sorts, random bits and linear algebra: primitives and binders."""

from __future__ import annotations

from typing import Any

from kbackend.base.shapes import Shape
from kbackend.core.bind import bind, bind_abstract
from kbackend.core.primitive import Primitive, family

# ----- scans and sorts -----

cumsum_p, cumprod_p = family("scan", "cumsum", "cumprod")
sort_p, argsort_p, searchsorted_p = family("sort", "sort", "argsort", "searchsorted")
top_k_p = Primitive("top_k", "sort", multiple_results=True)


def cumsum(x: Any, axis: int, reverse: bool = False) -> Any:
    """Running sum along `axis`, from the end if `reverse`."""
    return bind(cumsum_p, x, axis=axis, reverse=reverse)


def cumprod(x: Any, axis: int, reverse: bool = False) -> Any:
    """Running product along `axis`, from the end if `reverse`."""
    return bind(cumprod_p, x, axis=axis, reverse=reverse)


def sort(x: Any, axis: int) -> Any:
    """Elements in ascending order along `axis`, NaN last."""
    return bind(sort_p, x, axis=axis)


def argsort(x: Any, axis: int) -> Any:
    """int32 positions that sort x along `axis`; equal elements keep their order."""
    return bind(argsort_p, x, axis=axis)


def searchsorted(sorted_: Any, values: Any, side: str = "left") -> Any:
    """int32 place of each value in an ascending vector."""
    return bind(searchsorted_p, sorted_, values, side=side)


def top_k(x: Any, k: int) -> Any:
    """The k greatest elements along the last axis, descending, and their int32 positions."""
    return bind(top_k_p, x, k=k)


# ----- random bits -----

(random_bits_p,) = family("random", "random_bits")


def random_bits(state: Any, shape: Shape, width: int = 32) -> Any:
    """Uniform bits of a uint32 state `(seed, counter)`: uint32 or uint64 by `width`.

    Philox 4x64-10; see docs/design/random.md.
    """
    if None in shape:
        return bind_abstract(random_bits_p, {"shape": shape, "width": width}, (state.aval,))
    return bind(random_bits_p, state, shape=shape, width=width)


# ----- linear algebra: the last two dimensions are matrices -----


def _linalg(name: str, multiple_results: bool = False) -> Primitive:
    return Primitive(name, "linalg", multiple_results)


cholesky_p, triangular_solve_p = _linalg("cholesky"), _linalg("triangular_solve")
qr_p, svd_p, eigh_p, eig_p, lu_p = (_linalg(n, True) for n in ("qr", "svd", "eigh", "eig", "lu"))
fft_p = _linalg("fft", True)


def cholesky(x: Any) -> Any:
    """Lower Cholesky factor of a positive definite matrix."""
    return bind(cholesky_p, x)


def triangular_solve(a: Any, b: Any, lower: bool = True, transpose_a: bool = False) -> Any:
    """X with `a @ X = b` (or `a.T @ X = b`), a triangular; b is a matrix."""
    return bind(triangular_solve_p, a, b, lower=lower, transpose_a=transpose_a)


def qr(x: Any, full_matrices: bool = False) -> Any:
    """Orthonormal q and upper triangular r with `q @ r = x`."""
    return bind(qr_p, x, full_matrices=full_matrices)


def svd(x: Any, full_matrices: bool = False) -> Any:
    """u, singular values (descending) and vh with `u * s @ vh = x`."""
    return bind(svd_p, x, full_matrices=full_matrices)


def eigh(x: Any) -> Any:
    """Eigenvalues (ascending) and eigenvectors of a symmetric matrix, from its lower triangle."""
    return bind(eigh_p, x)


def eig(x: Any) -> Any:
    """Complex eigenvalues and eigenvectors of a square matrix."""
    return bind(eig_p, x)


def lu(x: Any) -> Any:
    """Packed LU factors and the int32 row permutation p: `x[p] = l @ u`."""
    return bind(lu_p, x)


def fft(real_: Any, imag_: Any, inverse: bool = False) -> Any:
    """Discrete Fourier transform along the last axis, as real and imaginary parts.

    The inverse divides by the length.
    """
    return bind(fft_p, real_, imag_, inverse=inverse)
