"""Rules of linear algebra. The last two dimensions are matrices.

Gradients of the factorizations: M. Giles, "Collected matrix derivative results for forward and
reverse mode algorithmic differentiation", 2008; S. Walter, L. Lehmann, "Algorithmic
differentiation of linear algebra functions", arXiv:1001.1654, 2010; M. Seeger et al.,
"Auto-differentiating linear algebra", arXiv:1710.08717, 2017.
"""

from __future__ import annotations

from typing import Any

from kbackend.base.dtypes import COMPLEX_SET
from kbackend.base.shapes import Dim, Shape
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.primitive import NO_GRADIENT
from kbackend.prim.common import require_float, require_inexact, require_same_dtype

# ----- what the rules share -----


def _matrix(x: Aval) -> tuple[Shape, Dim, Dim]:
    """Stack dimensions, rows and columns."""
    require_float(x)
    if len(x.shape) < 2:
        raise ValueError(f"Needs at least two dimensions. Received: shape={x.shape}.")
    return x.shape[:-2], x.shape[-2], x.shape[-1]


def _square(x: Aval) -> tuple[Shape, Dim]:
    stack, rows, columns = _matrix(x)
    if rows is not None and columns is not None and rows != columns:
        raise ValueError(f"The matrices must be square. Received: shape={x.shape}.")
    return stack, columns if rows is None else rows


def _smaller(rows: Dim, columns: Dim) -> Dim:
    return None if rows is None or columns is None else min(rows, columns)


def _t(x: Any) -> Any:
    """The matrices transposed."""
    ndim = len(x.shape)
    return lang.transpose(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def _mm(x: Any, y: Any) -> Any:
    """Matrix product, stack by stack."""
    ndim = len(x.shape)
    stack = tuple(range(ndim - 2))
    return lang.dot(x, y, contract=((ndim - 1,), (ndim - 2,)), batch=(stack, stack))


def _mask(x: Any, diagonal: int) -> Any:
    """bool: the places of x on and below the given diagonal."""
    shape = tuple(x.shape[-2:])
    row = lang.add(lang.iota(shape, 0, "int32"), diagonal)
    return lang.le(lang.iota(shape, 1, "int32"), row)


def _lower(x: Any, diagonal: int = 0) -> Any:
    return lang.select(_mask(x, diagonal), x, 0.0)


def _upper(x: Any) -> Any:
    return lang.select(_mask(x, -1), 0.0, x)


def _half_diagonal(x: Any) -> Any:
    """The lower triangle with its diagonal halved."""
    return lang.mul(lang.add(_lower(x), _lower(x, -1)), 0.5)


def _symmetric(x: Any) -> Any:
    return lang.mul(lang.add(x, _t(x)), 0.5)


def _row(x: Any) -> Any:
    """A stack of vectors as rows, which scale the columns of a matrix."""
    return lang.reshape(x, (*x.shape[:-1], 1, x.shape[-1]))


def _column(x: Any) -> Any:
    """A stack of vectors as columns, which scale the rows of a matrix."""
    return lang.reshape(x, (*x.shape, 1))


def _inverse_or_zero(x: Any) -> Any:
    zero = lang.eq(x, 0.0)
    return lang.select(zero, 0.0, lang.div(1.0, lang.select(zero, 1.0, x)))


def _differences(x: Any) -> Any:
    """x[j] - x[i] at (i, j)."""
    return lang.sub(_row(x), _column(x))


def _part(x: Any, rows: slice, columns: slice) -> Any:
    """A block of the matrices."""
    stack, shape = x.shape[:-2], x.shape[-2:]
    r, c = rows.indices(shape[0]), columns.indices(shape[1])
    starts = (*(0 for _ in stack), r[0], c[0])
    return lang.slice_(x, starts, (*stack, r[1], c[1]))


def _rdiv_transposed(x: Any, triangle: Any, lower: bool) -> Any:
    """x @ inverse(triangle).T"""
    return _t(lang.triangular_solve(triangle, _t(x), lower=lower))


# ----- triangular systems and Cholesky -----


def _cholesky_shape(x: Aval) -> Aval:
    stack, size = _square(x)
    return Aval((*stack, size, size), x.dtype)


def _cholesky_vjp(g: Any, l: Any, x: Any) -> Any:  # noqa: E741
    inner = _half_diagonal(_mm(_t(l), _lower(g)))
    left = lang.triangular_solve(l, inner, lower=True, transpose_a=True)
    # The kernel reads one triangle; the gradient is that of a symmetric argument.
    return _symmetric(_t(lang.triangular_solve(l, _t(left), lower=True, transpose_a=True)))


lang.cholesky_p.define(shape=_cholesky_shape, vjp=(_cholesky_vjp,))


def _triangular_solve_shape(a: Aval, b: Aval, lower: bool, transpose_a: bool) -> Aval:
    require_same_dtype(a, b)
    stack, size = _square(a)
    other, rows, columns = _matrix(b)
    pairs = list(zip((*stack, size), (*other, rows), strict=False))
    if len(stack) != len(other) or any(m != n and None not in (m, n) for m, n in pairs):
        raise ValueError(
            "The stack dimensions must be equal, and b must have as many rows as a. "
            f"Received: shapes {a.shape} and {b.shape}."
        )
    dims = tuple(n if m is None else m for m, n in pairs)
    return Aval((*dims, columns), b.dtype)


def _triangular_solve_vjp_a(g: Any, x: Any, a: Any, b: Any, lower: bool, transpose_a: bool) -> Any:
    gb = lang.triangular_solve(a, g, lower=lower, transpose_a=not transpose_a)
    product = _mm(x, _t(gb)) if transpose_a else _mm(gb, _t(x))
    return lang.neg(_lower(product) if lower else _upper(product))


def _triangular_solve_vjp_b(g: Any, x: Any, a: Any, b: Any, lower: bool, transpose_a: bool) -> Any:
    return lang.triangular_solve(a, g, lower=lower, transpose_a=not transpose_a)


lang.triangular_solve_p.define(
    shape=_triangular_solve_shape, vjp=(_triangular_solve_vjp_a, _triangular_solve_vjp_b)
)


# ----- QR -----


def _qr_shape(x: Aval, full_matrices: bool) -> tuple[Aval, Aval]:
    stack, rows, columns = _matrix(x)
    inner = rows if full_matrices else _smaller(rows, columns)
    return Aval((*stack, rows, inner), x.dtype), Aval((*stack, inner, columns), x.dtype)


def _tall_qr_vjp(gq: Any, gr: Any, q: Any, r: Any) -> Any:
    m = lang.sub(_mm(r, _t(gr)), _mm(_t(gq), q))
    m = lang.add(_lower(m), _t(_lower(m, -1)))
    # Right division by r.T, r upper triangular.
    return _rdiv_transposed(lang.add(gq, _mm(q, m)), r, lower=False)


def _qr_vjp(g: Any, result: Any, x: Any, full_matrices: bool) -> Any:
    (gq, gr), (q, r) = g, result
    rows, columns = x.shape[-2:]
    gr = _upper(gr)
    if rows >= columns:
        if full_matrices and rows > columns:
            raise ValueError(
                "[qr] has no gradient with full_matrices=True for more rows than columns: x does "
                "not determine the columns added to q. Use full_matrices=False (mode='reduced'). "
                f"Received: shape={tuple(x.shape)}."
            )
        return _tall_qr_vjp(gq, gr, q, r)
    # x = (x1, x2) with x1 = q @ u square and x2 = q @ v, so v = q.T @ x2.
    first, rest, every = slice(rows), slice(rows, None), slice(None)
    gv = _part(gr, every, rest)
    gq = lang.add(gq, _mm(_part(x, every, rest), _t(gv)))
    g1 = _tall_qr_vjp(gq, _part(gr, every, first), q, _part(r, every, first))
    return lang.concatenate((g1, _mm(q, gv)), len(x.shape) - 1)


lang.qr_p.define(shape=_qr_shape, vjp=(_qr_vjp,))


# ----- eigenvalues and singular values -----


def _svd_shape(x: Aval, full_matrices: bool) -> tuple[Aval, Aval, Aval]:
    stack, rows, columns = _matrix(x)
    inner = _smaller(rows, columns)
    left, right = (rows, columns) if full_matrices else (inner, inner)
    return (
        Aval((*stack, rows, left), x.dtype),
        Aval((*stack, inner), x.dtype),
        Aval((*stack, right, columns), x.dtype),
    )


def _svd_vjp(g: Any, result: Any, x: Any, full_matrices: bool) -> Any:
    """Of the reduced form (J. Townsend, "Differentiating the singular value decomposition", 2016).

    Equal singular values are left out of the vectors' part, where the derivative doesn't exist, so
    that the gradient of the values alone is right with them as well.
    """
    (gu, gs, gvh), (u, s, vh) = g, result
    rows, columns = x.shape[-2:]
    if full_matrices and rows != columns:
        raise ValueError(
            "[svd] has no gradient with full_matrices=True for a matrix that isn't square: x does "
            "not determine the vectors added. Use full_matrices=False. "
            f"Received: shape={tuple(x.shape)}."
        )
    inverse = _inverse_or_zero(s)
    spread = lang.mul(_differences(s), lang.add(_row(s), _column(s)))
    f = _inverse_or_zero(spread)
    left = _mm(_t(u), gu)
    right = _mm(vh, _t(gvh))
    core = lang.mul(lang.mul(f, lang.sub(left, _t(left))), _row(s))
    turn = lang.mul(lang.mul(f, lang.sub(right, _t(right))), _column(s))
    core = lang.add(core, turn)
    shape = tuple(core.shape[-2:])
    diagonal = lang.eq(lang.iota(shape, 0, "int32"), lang.iota(shape, 1, "int32"))
    core = lang.add(core, lang.select(diagonal, _row(gs), 0.0))
    grad = _mm(_mm(u, core), vh)
    if rows > columns:
        # The part of gu outside the span of u.
        outside = lang.mul(lang.sub(gu, _mm(u, left)), _row(inverse))
        grad = lang.add(grad, _mm(outside, vh))
    elif columns > rows:
        outside = lang.mul(lang.sub(gvh, _mm(_t(right), vh)), _column(inverse))
        grad = lang.add(grad, _mm(u, outside))
    return grad


lang.svd_p.define(shape=_svd_shape, vjp=(_svd_vjp,))


def _eigh_shape(x: Aval) -> tuple[Aval, Aval]:
    stack, size = _square(x)
    return Aval((*stack, size), x.dtype), Aval((*stack, size, size), x.dtype)


def _eigh_vjp(g: Any, result: Any, x: Any) -> Any:
    """Giles 2008, with equal eigenvalues left out of the vectors' part as in `_svd_vjp`."""
    (gw, gv), (w, v) = g, result
    core = lang.mul(_inverse_or_zero(_differences(w)), _mm(_t(v), gv))
    shape = tuple(core.shape[-2:])
    diagonal = lang.eq(lang.iota(shape, 0, "int32"), lang.iota(shape, 1, "int32"))
    core = lang.add(core, lang.select(diagonal, _row(gw), 0.0))
    # The kernel reads one triangle; the gradient is that of a symmetric argument.
    return _symmetric(_mm(_mm(v, core), _t(v)))


lang.eigh_p.define(shape=_eigh_shape, vjp=(_eigh_vjp,))


def _eig_shape(x: Aval) -> tuple[Aval, Aval]:
    require_inexact(x)
    stack, size = _square(x if x.dtype not in COMPLEX_SET else x._replace(dtype="float32"))
    dtype = "complex128" if x.dtype in ("float64", "complex128") else "complex64"
    return Aval((*stack, size), dtype), Aval((*stack, size, size), dtype)


# The vectors are complex with an arbitrary phase, and the values need not be differentiable where
# they meet; like other array libraries' `eig`, this one is for values only.
lang.eig_p.define(shape=_eig_shape, vjp=NO_GRADIENT)


# ----- LU -----


def _lu_shape(x: Aval) -> tuple[Aval, Aval]:
    stack, rows, _ = _matrix(x)
    return Aval(x.shape, x.dtype), Aval((*stack, rows), "int32")


def _lu_vjp(g: Any, result: Any, x: Any) -> Any:
    """For x[p] = l @ u, by triangular systems in l and u.

    F. de Hoog, R. Anderssen, M. Lukas, "Differentiation of matrix functionals using triangular
    factorization", Math. Comp. 80, 2011. A matrix that isn't square is a square one and a rest
    that follows from it, below or to the right.
    """
    gp, (packed, order) = g[0], result
    rows, columns = x.shape[-2:]
    size = min(rows, columns)
    first, rest = slice(size), slice(size, None)
    square, gs = _part(packed, first, first), _part(gp, first, first)
    # l has ones on its diagonal, which are not stored.
    l = lang.select(_mask(square, -1), square, 0.0)  # noqa: E741
    shape = tuple(square.shape[-2:])
    diagonal = lang.eq(lang.iota(shape, 0, "int32"), lang.iota(shape, 1, "int32"))
    l = lang.select(diagonal, 1.0, l)  # noqa: E741
    u = _upper(square)
    gl, gu = _lower(gs, -1), _upper(gs)
    extra = None
    if rows > columns:
        # l2 = x2 @ inverse(u)
        extra = _rdiv_transposed(_part(gp, rest, first), u, lower=False)
        gu = lang.sub(gu, _upper(_mm(_t(_part(packed, rest, first)), extra)))
    elif columns > rows:
        # u2 = inverse(l) @ x2
        extra = lang.triangular_solve(l, _part(gp, first, rest), lower=True, transpose_a=True)
        gl = lang.sub(gl, _lower(_mm(extra, _t(_part(packed, first, rest))), -1))
    core = lang.add(_lower(_mm(_t(l), gl), -1), _upper(_mm(gu, _t(u))))
    grad = lang.triangular_solve(l, core, lower=True, transpose_a=True)
    grad = _rdiv_transposed(grad, u, lower=False)
    if extra is not None:
        ndim = len(x.shape)
        grad = lang.concatenate((grad, extra), ndim - 2 if rows > columns else ndim - 1)
    return _unpermute(grad, order)


def _unpermute(x: Any, order: Any) -> Any:
    """Rows of x put where `order` took them from."""
    last = len(order.shape) - 1
    inverse = lang.argsort(order, last)
    indices = []
    for i, dim in enumerate(order.shape):
        shape = tuple(dim if j == i else 1 for j in range(last + 1))
        indices.append(inverse if i == last else lang.iota(shape, i, "int32"))
    return lang.gather(x, tuple(indices), tuple(range(last + 1)))


lang.lu_p.define(shape=_lu_shape, vjp=(_lu_vjp,))


# ----- Fourier transform -----


def _fft_shape(real_: Aval, imag_: Aval, inverse: bool) -> tuple[Aval, Aval]:
    require_same_dtype(real_, imag_)
    require_float(real_)
    if real_.shape != imag_.shape or not real_.shape:
        raise ValueError(
            "The real and imaginary parts must have one shape, of at least one dimension. "
            f"Received: {real_.shape} and {imag_.shape}."
        )
    return Aval(real_.shape, real_.dtype), Aval(real_.shape, real_.dtype)


def _fft_vjp(position: int) -> Any:
    """The transform is a symmetric matrix; its transpose on pairs is its conjugate."""

    def vjp(g: Any, result: Any, real_: Any, imag_: Any, inverse: bool) -> Any:
        size = real_.shape[-1]
        scale = 1.0 / size if inverse else float(size)
        return lang.mul(lang.fft(g[0], g[1], inverse=not inverse)[position], scale)

    return vjp


lang.fft_p.define(shape=_fft_shape, vjp=_fft_vjp)
