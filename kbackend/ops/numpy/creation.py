"""Tensors made of numbers: constants, ranges, the identity."""

from __future__ import annotations

from typing import Any

from kbackend.base.dtypes import standardize_dtype
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.numpy.common import dims_of


@op()
def array(x: Any, dtype: Any = None) -> Any:
    """A tensor of the values of anything array-like.

    Args:
        x: tensor, array, nested list or number.
        dtype: dtype of the result; that of x by default.

    Returns:
        Tensor.

    Example:
        >>> array([1, 2]).shape
        (2,)
    """
    return to_tensor(x, dtype)


@op()
def copy(x: Any) -> Any:
    """A tensor of the same values. Tensors never change, so it may share their memory.

    Args:
        x: tensor.

    Returns:
        Tensor like x.

    Example:
        >>> copy([1, 2]).tolist()
        [1, 2]
    """
    return to_tensor(x)


def zeros(shape: Any, dtype: Any = None) -> Any:
    """A tensor of zeros.

    Args:
        shape: int or tuple of ints.
        dtype: dtype of the result; `floatx` by default.

    Returns:
        Tensor.

    Example:
        >>> zeros((2,)).tolist()
        [0.0, 0.0]
    """
    return lang.full(dims_of(shape), 0, standardize_dtype(dtype))


def ones(shape: Any, dtype: Any = None) -> Any:
    """A tensor of ones.

    Args:
        shape: int or tuple of ints.
        dtype: dtype of the result; `floatx` by default.

    Returns:
        Tensor.

    Example:
        >>> ones((2,), dtype="int32").tolist()
        [1, 1]
    """
    return lang.full(dims_of(shape), 1, standardize_dtype(dtype))


def empty(shape: Any, dtype: Any = None) -> Any:
    """A tensor whose values do not matter (they are zeros).

    Args:
        shape: int or tuple of ints.
        dtype: dtype of the result; `floatx` by default.

    Returns:
        Tensor.

    Example:
        >>> empty((2, 3)).shape
        (2, 3)
    """
    return lang.full(dims_of(shape), 0, standardize_dtype(dtype))


@op(static=("shape",))
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """A tensor filled with one value.

    Args:
        shape: int or tuple of ints.
        fill_value: number, or tensor that broadcasts to `shape`.
        dtype: dtype of the result; that of the value by default (`floatx` for a Python number).

    Returns:
        Tensor.

    Example:
        >>> full((2,), 7.0).tolist()
        [7.0, 7.0]
    """
    dims = dims_of(shape)
    if fill_value.__class__ in (int, float, bool):
        return lang.full(dims, fill_value, standardize_dtype(dtype))
    return lang.broadcast_to(to_tensor(fill_value, dtype), dims)


@op()
def zeros_like(x: Any, dtype: Any = None) -> Any:
    """Zeros in the shape of a tensor.

    Args:
        x: tensor.
        dtype: dtype of the result; that of x by default.

    Returns:
        Tensor.

    Example:
        >>> zeros_like([1, 2]).tolist()
        [0, 0]
    """
    return _like(x, 0, dtype)


@op()
def ones_like(x: Any, dtype: Any = None) -> Any:
    """Ones in the shape of a tensor.

    Args:
        x: tensor.
        dtype: dtype of the result; that of x by default.

    Returns:
        Tensor.

    Example:
        >>> ones_like([1, 2]).tolist()
        [1, 1]
    """
    return _like(x, 1, dtype)


@op()
def empty_like(x: Any, dtype: Any = None) -> Any:
    """A tensor in the shape of another whose values do not matter (they are zeros).

    Args:
        x: tensor.
        dtype: dtype of the result; that of x by default.

    Returns:
        Tensor.

    Example:
        >>> empty_like([1, 2]).shape
        (2,)
    """
    return _like(x, 0, dtype)


@op()
def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """One value in the shape of a tensor.

    Args:
        x: tensor.
        fill_value: number, or tensor that broadcasts to x's shape.
        dtype: dtype of the result; that of x by default.

    Returns:
        Tensor.

    Example:
        >>> full_like([1, 2], 5).tolist()
        [5, 5]
    """
    if fill_value.__class__ in (int, float, bool):
        return _like(x, fill_value, dtype)
    x = to_tensor(x)
    dtype = x.dtype if dtype is None else standardize_dtype(dtype)
    return lang.broadcast_to(to_tensor(fill_value, dtype), tuple(x.shape))


def _like(x: Any, value: Any, dtype: Any) -> Any:
    x = to_tensor(x)
    return lang.full(tuple(x.shape), value, x.dtype if dtype is None else standardize_dtype(dtype))


def eye(N: Any, M: Any = None, k: int = 0, dtype: Any = None) -> Any:
    """A matrix with ones on one diagonal and zeros elsewhere.

    Args:
        N: number of rows.
        M: number of columns; `N` by default.
        k: which diagonal: 0 is the main one, positive ones lie above it.
        dtype: dtype of the result; `floatx` by default.

    Returns:
        Tensor of shape `(N, M)`.

    Example:
        >>> eye(2).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    rows, columns = _grid(N, M)
    return lang.cast(lang.eq(lang.add(rows, int(k)), columns), standardize_dtype(dtype))


def identity(n: Any, dtype: Any = None) -> Any:
    """The square identity matrix.

    Args:
        n: number of rows and columns.
        dtype: dtype of the result; `floatx` by default.

    Returns:
        Tensor of shape `(n, n)`.

    Example:
        >>> identity(2, dtype="int32").tolist()
        [[1, 0], [0, 1]]
    """
    return eye(n, dtype=dtype)


def tri(N: Any, M: Any = None, k: int = 0, dtype: Any = None) -> Any:
    """A matrix with ones on and below one diagonal and zeros above it.

    Args:
        N: number of rows.
        M: number of columns; `N` by default.
        k: which diagonal: 0 is the main one, positive ones lie above it.
        dtype: dtype of the result; `floatx` by default.

    Returns:
        Tensor of shape `(N, M)`.

    Example:
        >>> tri(2).tolist()
        [[1.0, 0.0], [1.0, 1.0]]
    """
    rows, columns = _grid(N, M)
    return lang.cast(lang.le(columns, lang.add(rows, int(k))), standardize_dtype(dtype))


def _grid(n: Any, m: Any) -> tuple[Any, Any]:
    """Row numbers as a column and column numbers as a row, which broadcast to a matrix."""
    rows = int(n)
    columns = rows if m is None else int(m)
    return lang.iota((rows, 1), 0, "int32"), lang.iota((1, columns), 1, "int32")


@op()
def meshgrid(*x: Any, indexing: str = "xy") -> Any:
    """Coordinate tensors of the grid spanned by vectors.

    Args:
        *x: vectors.
        indexing: `"xy"` (the first vector runs along the second axis) or `"ij"`.

    Returns:
        List of tensors, one per vector, all of the grid's shape.

    Raises:
        ValueError: `indexing` is neither.

    Example:
        >>> a, b = meshgrid([1, 2, 3], [10, 20])
        >>> a.tolist(), b.shape
        ([[1, 2, 3], [1, 2, 3]], (2, 3))
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(
            f"[meshgrid] 'indexing' must be 'xy' or 'ij'. Received: indexing={indexing!r}."
        )
    vectors = [to_tensor(v) for v in x]
    vectors = [lang.reshape(v, (-1,)) if len(v.shape) != 1 else v for v in vectors]
    places = list(range(len(vectors)))
    if indexing == "xy" and len(vectors) > 1:
        places[:2] = 1, 0
    shape: list[Any] = [1] * len(vectors)
    for place, vector in zip(places, vectors, strict=True):
        shape[place] = vector.shape[0]
    out = []
    for place, vector in zip(places, vectors, strict=True):
        line = [1] * len(vectors)
        line[place] = vector.shape[0]
        out.append(lang.broadcast_to(lang.reshape(vector, tuple(line)), tuple(shape)))
    return out


@op()
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Vandermonde matrix: the powers of the elements of a vector, in columns.

    Args:
        x: vector.
        N: number of columns; as many as rows by default.
        increasing: whether the powers rise from left to right.

    Returns:
        Tensor of shape `(len(x), N)`.

    Example:
        >>> vander([2, 3], 3).tolist()
        [[4, 2, 1], [9, 3, 1]]
    """
    x = to_tensor(x)
    if len(x.shape) != 1:
        raise ValueError(f"vander() takes a vector. Received: shape={tuple(x.shape)}.")
    columns = x.shape[0] if N is None else int(N)
    if x.dtype == "bool":
        x = lang.cast(x, "int32")
    powers = lang.iota((1, columns), 1, x.dtype)
    if not increasing:
        powers = lang.rev(powers, (1,))
    return lang.pow_(lang.reshape(x, (x.shape[0], 1)), powers)
