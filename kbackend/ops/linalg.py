"""`keras.ops.linalg`: factorizations, solvers, determinants and norms of matrices."""

from __future__ import annotations

from typing import Any

from kbackend import autodiff
from kbackend.base import shapes
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.operators import matmul, promote
from kbackend.ops.define import op
from kbackend.ops.nn.arguments import floating
from kbackend.ops.norms import norm

__all__ = [
    "cholesky", "cholesky_inverse", "det", "eig", "eigh", "inv", "jvp", "lstsq", "lu_factor",
    "matrix_rank", "norm", "pinv", "qr", "solve", "solve_triangular", "svd",
]  # fmt: skip

# ----- what the ops share -----


def _matrix(x: Any, name: str, square: bool = False) -> Any:
    """`x` as a floating tensor with at least two dimensions."""
    x = floating(x)
    if x.dtype in ("float16", "bfloat16"):
        x = lang.cast(x, "float32")
    shape = tuple(x.shape)
    if len(shape) < 2:
        raise ValueError(
            f"[{name}] takes matrices: tensors with at least two dimensions. "
            f"Received: shape={shape}."
        )
    if square and None not in shape[-2:] and shape[-2] != shape[-1]:
        raise ValueError(f"[{name}] the matrices must be square. Received: shape={shape}.")
    return x


def _t(x: Any) -> Any:
    """The matrices transposed."""
    n = len(x.shape)
    return lang.transpose(x, (*range(n - 2), n - 1, n - 2))


def _on_diagonal(rows: Any, columns: Any) -> Any:
    """bool matrix: the places on the diagonal."""
    shape = (rows, columns)
    return lang.eq(lang.iota(shape, 0, "int32"), lang.iota(shape, 1, "int32"))


def _identity_like(x: Any) -> Any:
    """Identity matrices of the shape and dtype of x."""
    eye = lang.cast(_on_diagonal(x.shape[-1], x.shape[-1]), x.dtype)
    return lang.broadcast_to(eye, tuple(x.shape))


def _diagonal(x: Any) -> Any:
    """The diagonal of square matrices."""
    kept = lang.select(_on_diagonal(*x.shape[-2:]), x, 0.0)
    return lang.reduce_sum(kept, (len(x.shape) - 1,))


def _solve_lu(a: Any, b: Any) -> Any:
    """X with a @ X = b, by LU factors with row exchanges. a and b have the same stack."""
    packed, order = lang.lu(a)
    n = a.shape[-1]
    indices, stack = [], len(a.shape) - 2
    for i, size in enumerate(order.shape[:-1]):
        shape = tuple(size if j == i else 1 for j in range(stack + 1))
        indices.append(lang.iota(shape, i, "int32"))
    b = lang.gather(b, (*indices, order), tuple(range(stack + 1)))
    shape = (n, n)
    below = lang.lt(lang.iota(shape, 1, "int32"), lang.iota(shape, 0, "int32"))
    unit = lang.select(_on_diagonal(n, n), 1.0, lang.select(below, packed, 0.0))
    y = lang.triangular_solve(unit, b, lower=True)
    return lang.triangular_solve(lang.select(below, 0.0, packed), y, lower=False)


def _same_stack(a: Any, b: Any) -> tuple[Any, Any]:
    """Both with their leading dimensions broadcast together."""
    stack = shapes.broadcast(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    out = []
    for x in (a, b):
        shape = (*stack, *x.shape[-2:])
        out.append(x if tuple(x.shape) == shape else lang.broadcast_to(x, shape))
    return out[0], out[1]


def _right_side(a: Any, b: Any, name: str) -> tuple[Any, Any, bool]:
    """a and b as matrices of one dtype, and whether b was a stack of vectors."""
    a, b = promote(a, b, force_float=True)
    a = _matrix(a, name)
    b = lang.cast(b, a.dtype)
    vector = len(b.shape) == len(a.shape) - 1
    if vector:
        b = lang.reshape(b, (*b.shape, 1))
    rows, expected = b.shape[-2] if len(b.shape) > 1 else None, a.shape[-2]
    if len(b.shape) < 2 or (None not in (rows, expected) and rows != expected):
        raise ValueError(
            f"[{name}] 'b' must have as many rows as 'a'. Received: a.shape={tuple(a.shape)}, "
            f"b.shape={tuple(b.shape)}."
        )
    return *_same_stack(a, b), vector


def _as_vector(x: Any, vector: bool) -> Any:
    return lang.reshape(x, tuple(x.shape[:-1])) if vector else x


# ----- factorizations -----


@op()
def cholesky(x: Any, upper: bool = False) -> Any:
    """Cholesky factor of positive definite matrices.

    Args:
        x: tensor `(..., n, n)`, symmetric.
        upper: whether to return the upper factor `u` with `u.T @ u = x`, not the lower `l` with
            `l @ l.T = x`.

    Returns:
        A floating tensor of the shape of `x`.

    Raises:
        ValueError: the matrices are not square, or not positive definite.

    Example:
        >>> cholesky([[4.0, 2.0], [2.0, 2.0]]).tolist()
        [[2.0, 0.0], [1.0, 1.0]]
    """
    lower = lang.cholesky(_matrix(x, "cholesky", square=True))
    return _t(lower) if upper else lower


@op()
def cholesky_inverse(x: Any, upper: bool = False) -> Any:
    """Inverse of the matrices whose Cholesky factor is `x`.

    Args:
        x: tensor `(..., n, n)`, a triangular factor.
        upper: whether `x` is an upper factor.

    Returns:
        A floating tensor of the shape of `x`.

    Raises:
        ValueError: the matrices are not square.

    Example:
        >>> cholesky_inverse([[2.0, 0.0], [0.0, 1.0]]).tolist()
        [[0.25, 0.0], [0.0, 1.0]]
    """
    x = _matrix(x, "cholesky_inverse", square=True)
    half = lang.triangular_solve(x, _identity_like(x), lower=not upper)
    return matmul(half, _t(half)) if upper else matmul(_t(half), half)


@op()
def qr(x: Any, mode: str = "reduced") -> tuple[Any, Any]:
    """Orthonormal `q` and upper triangular `r` with `q @ r = x`.

    Args:
        x: tensor `(..., m, n)`.
        mode: `"reduced"`, or `"complete"` for a square `q`.

    Returns:
        The two factors.

    Raises:
        ValueError: the mode is unknown.

    Example:
        >>> q, r = qr(np.ones((4, 2)))
        >>> q.shape, r.shape
        ((4, 2), (2, 2))
    """
    if mode not in ("reduced", "complete"):
        raise ValueError(f"[qr] 'mode' must be 'reduced' or 'complete'. Received: mode={mode!r}.")
    q, r = lang.qr(_matrix(x, "qr"), full_matrices=mode == "complete")
    return q, r


@op()
def svd(x: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """Singular value decomposition: `u * s @ vh = x`.

    Args:
        x: tensor `(..., m, n)`.
        full_matrices: whether `u` and `vh` are square.
        compute_uv: whether to return the vectors too.

    Returns:
        `u`, `s` (descending) and `vh`, or `s` alone.

    Example:
        >>> svd([[3.0, 0.0], [0.0, 4.0]], compute_uv=False).tolist()
        [4.0, 3.0]
    """
    x = _matrix(x, "svd")
    if not compute_uv:
        return lang.svd(x, full_matrices=False)[1]
    return tuple(lang.svd(x, full_matrices=bool(full_matrices)))


@op()
def eigh(x: Any) -> tuple[Any, Any]:
    """Eigenvalues (ascending) and eigenvectors of symmetric matrices.

    Args:
        x: tensor `(..., n, n)`, of which the lower triangle is read.

    Returns:
        Eigenvalues `(..., n)`, and eigenvectors as the columns of `(..., n, n)`.

    Raises:
        ValueError: the matrices are not square.

    Example:
        >>> values, vectors = eigh([[2.0, 0.0], [0.0, 1.0]])
        >>> values.tolist()
        [1.0, 2.0]
    """
    values, vectors = lang.eigh(_matrix(x, "eigh", square=True))
    return values, vectors


@op()
def eig(x: Any) -> tuple[Any, Any]:
    """Complex eigenvalues and eigenvectors of square matrices. They have no gradient.

    Args:
        x: tensor `(..., n, n)`.

    Returns:
        Eigenvalues `(..., n)`, and eigenvectors as the columns of `(..., n, n)`.

    Raises:
        ValueError: the matrices are not square.

    Example:
        >>> eig([[2.0, 0.0], [0.0, 1.0]])[0].dtype
        'complex64'
    """
    values, vectors = lang.eig(_matrix(x, "eig", square=True))
    return values, vectors


@op()
def lu_factor(x: Any) -> tuple[Any, Any]:
    """LU factors with row exchanges, as LAPACK packs them.

    Args:
        x: tensor `(..., n, n)`.

    Returns:
        The packed factors (`l` below the diagonal, `u` on and above it), and the int32 pivots:
        row i was exchanged with row `pivots[i]`.

    Raises:
        ValueError: the matrices are not square.

    Example:
        >>> packed, pivots = lu_factor([[1.0, 2.0], [3.0, 4.0]])
        >>> packed.tolist(), pivots.tolist()
        ([[3.0, 4.0], [0.333, 0.667]], [1, 1])
    """
    packed, order = lang.lu(_matrix(x, "lu_factor", square=True))
    return packed, _pivots(order)


def _pivots(order: Any) -> Any:
    """The exchanges, one after the other, that lead to a permutation of rows."""
    n, last = order.shape[-1], len(order.shape) - 1
    if n is None or n == 0:
        return order
    rows = lang.broadcast_to(lang.iota((n,), 0, "int32"), tuple(order.shape))
    places = lang.iota((n,), 0, "int32")
    lead, outer = (0,) * last, tuple(order.shape[:-1])
    found = []
    for i in range(n):
        wanted = lang.slice_(order, (*lead, i), (*outer, i + 1))
        current = lang.slice_(rows, (*lead, i), (*outer, i + 1))
        here = lang.eq(rows, wanted)
        found.append(lang.reduce_sum(lang.select(here, places, 0), (last,), True))
        rows = lang.select(here, current, lang.select(lang.eq(places, i), wanted, rows))
    return lang.concatenate(found, last)


# ----- systems -----


@op()
def inv(x: Any) -> Any:
    """Inverse of square matrices.

    Args:
        x: tensor `(..., n, n)`.

    Returns:
        A floating tensor of the shape of `x`.

    Raises:
        ValueError: the matrices are not square.

    Example:
        >>> inv([[2.0, 0.0], [0.0, 4.0]]).tolist()
        [[0.5, 0.0], [0.0, 0.25]]
    """
    x = _matrix(x, "inv", square=True)
    return _solve_lu(x, _identity_like(x))


@op(tensors=("b",))
def solve(a: Any, b: Any) -> Any:
    """`x` with `a @ x = b`.

    Args:
        a: tensor `(..., n, n)`.
        b: tensor `(..., n)` or `(..., n, k)`.

    Returns:
        A floating tensor of the shape of `b`.

    Raises:
        ValueError: the shapes do not fit.

    Example:
        >>> solve([[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0]).tolist()
        [0.5, 0.25]
    """
    a, b, vector = _right_side(a, b, "solve")
    return _as_vector(_solve_lu(_matrix(a, "solve", square=True), b), vector)


@op(tensors=("b",))
def solve_triangular(a: Any, b: Any, lower: bool = False) -> Any:
    """`x` with `a @ x = b` for triangular `a`.

    Args:
        a: tensor `(..., n, n)`, of which one triangle is read.
        b: tensor `(..., n)` or `(..., n, k)`.
        lower: whether to read the lower triangle.

    Returns:
        A floating tensor of the shape of `b`.

    Raises:
        ValueError: the shapes do not fit.

    Example:
        >>> solve_triangular([[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0]).tolist()
        [0.5, 0.25]
    """
    a, b, vector = _right_side(a, b, "solve_triangular")
    _matrix(a, "solve_triangular", square=True)
    return _as_vector(lang.triangular_solve(a, b, lower=bool(lower)), vector)


def _inverted_values(s: Any, cut: Any) -> Any:
    """1 / s above `cut`, 0 elsewhere."""
    kept = lang.lt(cut, s)
    return lang.select(kept, lang.div(1.0, lang.select(kept, s, 1.0)), 0.0)


def _epsilon(x: Any) -> float:
    return 2.0**-52 if x.dtype == "float64" else 2.0**-23


def _pseudo_inverse(x: Any, rcond: float) -> Any:
    u, s, vh = lang.svd(x, full_matrices=False)
    last = len(s.shape) - 1
    cut = lang.mul(lang.reduce_max(s, (last,), True), rcond)
    inverse = _inverted_values(s, cut)
    return matmul(lang.mul(_t(vh), lang.reshape(inverse, (*s.shape[:-1], 1, s.shape[-1]))), _t(u))


@op()
def pinv(x: Any, rcond: float | None = None) -> Any:
    """Moore-Penrose pseudo-inverse.

    Args:
        x: tensor `(..., m, n)`.
        rcond: singular values up to this part of the greatest one count as 0; by default ten times
            the greater dimension times the precision of the dtype.

    Returns:
        A floating tensor `(..., n, m)`.

    Example:
        >>> pinv([[2.0, 0.0], [0.0, 0.0]]).tolist()
        [[0.5, 0.0], [0.0, 0.0]]
    """
    x = _matrix(x, "pinv")
    if rcond is None:
        rcond = 10 * max(x.shape[-2:]) * _epsilon(x)
    return _pseudo_inverse(x, rcond)


@op(tensors=("b",))
def lstsq(a: Any, b: Any, rcond: float | None = None) -> Any:
    """The `x` of least norm among those with the least norm of `a @ x - b`.

    Args:
        a: tensor `(m, n)`.
        b: tensor `(m,)` or `(m, k)`.
        rcond: singular values up to this part of the greatest one count as 0; by default the
            greater dimension times the precision of the dtype.

    Returns:
        A floating tensor `(n,)` or `(n, k)`.

    Raises:
        ValueError: the shapes do not fit.

    Example:
        >>> lstsq([[1.0], [1.0]], [1.0, 3.0]).tolist()
        [2.0]
    """
    a, b, vector = _right_side(a, b, "lstsq")
    if rcond is None:
        rcond = max(a.shape[-2:]) * _epsilon(a)
    return _as_vector(matmul(_pseudo_inverse(a, rcond), b), vector)


@op()
def matrix_rank(x: Any, tol: float | None = None) -> Any:
    """Number of singular values above `tol`.

    Args:
        x: tensor `(..., m, n)`.
        tol: by default the greatest singular value times the greater dimension times the precision
            of the dtype.

    Returns:
        An int32 tensor `(...)`.

    Example:
        >>> matrix_rank([[1.0, 1.0], [1.0, 1.0]]).item()
        1
    """
    x = _matrix(x, "matrix_rank")
    s = lang.svd(x, full_matrices=False)[1]
    last = len(s.shape) - 1
    if tol is None:
        cut = lang.mul(lang.reduce_max(s, (last,), True), max(x.shape[-2:]) * _epsilon(x))
    else:
        cut = to_tensor(tol, s.dtype)
        cut = lang.reshape(cut, (*cut.shape, 1)) if cut.shape else cut
    return lang.reduce_sum(lang.cast(lang.lt(cut, s), "int32"), (last,))


# ----- determinants -----


def _parity(order: Any) -> Any:
    """int32: 1 for an odd permutation, 0 for an even one."""
    outer, n = tuple(order.shape[:-1]), order.shape[-1]
    rows = lang.reshape(order, (*outer, n, 1))
    columns = lang.reshape(order, (*outer, 1, n))
    shape = (n, n)
    after = lang.lt(lang.iota(shape, 0, "int32"), lang.iota(shape, 1, "int32"))
    inverted = lang.cast(lang.bitwise_and(lang.lt(columns, rows), after), "int32")
    last = len(outer)
    return lang.bitwise_and(lang.reduce_sum(inverted, (last, last + 1)), 1)


def slogdet_of(x: Any) -> tuple[Any, Any]:
    """Sign and logarithm of the absolute value of the determinant of a floating tensor."""
    x = _matrix(x, "slogdet", square=True)
    packed, order = lang.lu(x)
    diagonal = _diagonal(packed)
    last = (len(diagonal.shape) - 1,)
    swaps = lang.sub(1.0, lang.mul(lang.cast(_parity(order), x.dtype), 2.0))
    sign = lang.mul(lang.reduce_prod(lang.sign(diagonal), last), swaps)
    return sign, lang.reduce_sum(lang.log(lang.abs_(diagonal)), last)


@op()
def det(x: Any) -> Any:
    """Determinant of square matrices.

    Args:
        x: tensor `(..., n, n)`.

    Returns:
        A floating tensor `(...)`.

    Raises:
        ValueError: the matrices are not square.

    Example:
        >>> det([[1.0, 2.0], [3.0, 4.0]]).item()
        -2.0
    """
    x = _matrix(x, "det", square=True)
    packed, order = lang.lu(x)
    swaps = lang.sub(1.0, lang.mul(lang.cast(_parity(order), x.dtype), 2.0))
    diagonal = _diagonal(packed)
    return lang.mul(lang.reduce_prod(diagonal, (len(diagonal.shape) - 1,)), swaps)


# ----- derivatives -----


def jvp(fun: Any, primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """The value of `fun` and its derivative along `tangents`.

    Args:
        fun: returns a tensor or a nested structure of tensors.
        primals: sequence of arguments.
        tangents: sequence of directions, shaped like `primals`.
        has_aux: whether `fun` returns `(output, aux)`.

    Returns:
        `(output, output tangent)`, or `(output, output tangent, aux)`.

    Raises:
        ValueError: there is not one tangent per primal.

    Example:
        >>> y, dy = jvp(lambda x: x * x, (3.0,), (1.0,))
        >>> y.item(), dy.item()
        (9.0, 6.0)
    """
    return autodiff.jvp(fun, primals, tangents, has_aux=has_aux)
