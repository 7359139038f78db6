"""Tensors made of numbers: constants, ranges, the identity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kbackend.base.dtypes import INEXACT_SET, result_type, standardize_dtype
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.tensor import tensor
from kbackend.ops.define import op
from kbackend.ops.numpy.common import dims_of, move_axis


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


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """Numbers from `start` up to but not including `stop`, evenly spaced.

    Args:
        start: first number; the end, with 0 as the first, if it is the only argument.
        stop: the end.
        step: difference of neighbours; 1 by default.
        dtype: dtype of the result; that of the arguments by default.

    Returns:
        Vector.

    Example:
        >>> arange(3).tolist(), arange(1, 2, 0.5).tolist()
        ([0, 1, 2], [1.0, 1.5])
    """
    given = [_scalar(v) for v in (start, stop, step) if v is not None]
    if dtype is None:
        dtype = result_type(*(v.__class__ if v.__class__ in (int, float) else v.dtype for v in given))
        if any(v.__class__ is int and not -(2**31) <= v < 2**31 for v in given):
            dtype = result_type(dtype, "int64")
    dtype = standardize_dtype(dtype)
    first, last = (0, start) if stop is None else (start, stop)
    step = 1 if step is None else step
    first, last, step = (_scalar(v) for v in (first, last, step))
    if first == 0 and step == 1 and last.__class__ is int:
        return lang.iota((max(last, 0),), 0, dtype)
    return tensor(np.arange(first, last, step), dtype)


def _scalar(value: Any) -> Any:
    """A Python number as it is; a tensor or array as a NumPy scalar with its dtype."""
    if value.__class__ in (int, float):
        return value
    if hasattr(value, "dtype") or hasattr(value, "read"):
        return np.asarray(to_tensor(value))[()]
    return value


@op()
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Evenly spaced numbers over an interval.

    Args:
        start: first number; a tensor gives several sequences at once.
        stop: last number; it broadcasts with `start`.
        num: how many.
        endpoint: whether `stop` is one of them.
        retstep: whether to return the spacing too.
        dtype: dtype of the result; floating by default.
        axis: axis of the result along which the numbers run.

    Returns:
        Tensor, or `(tensor, spacing)`.

    Example:
        >>> linspace(0.0, 1.0, 3).tolist()
        [0.0, 0.5, 1.0]
    """
    values, step, kind = _spaced(start, stop, num, endpoint)
    values = _finish(values, kind, dtype, axis)
    return (values, step) if retstep else values


def _spaced(start: Any, stop: Any, num: Any, endpoint: bool) -> tuple[Any, Any, str]:
    """Evenly spaced numbers along the first axis, their spacing and their dtype."""
    num = int(num)
    if num < 0:
        raise ValueError(f"'num' can't be negative. Received: num={num}.")
    weak = (int, float, bool)
    kind = result_type(
        *(v.__class__ if v.__class__ in weak else to_tensor(v).dtype for v in (start, stop)), float
    )
    work = kind if kind in ("float64", "complex64", "complex128") else "float32"
    start, stop = to_tensor(start, work), to_tensor(stop, work)
    span = lang.sub(stop, start)
    parts = num - 1 if endpoint else num
    step = lang.div(span, float(parts)) if parts > 0 else lang.mul(span, math.nan)
    shape = (num,) + (1,) * len(span.shape)
    if num == 0:
        return lang.full((0, *span.shape), 0, work), lang.cast(step, kind), kind
    at = lang.cast(lang.iota(shape, 0, "int32"), work)
    share = lang.div(at, float(max(parts, 1)))
    # Weighing both ends makes the last number exactly `stop`.
    values = lang.add(
        lang.mul(start, lang.sub(1.0, share)), lang.mul(lang.add(start, span), share)
    )
    if endpoint and num > 1:
        values = lang.select(lang.eq(at, float(parts)), stop, values)
    return values, lang.cast(step, kind), kind


def _finish(values: Any, kind: str, dtype: Any, axis: int) -> Any:
    """`values` in the dtype asked for, with the first axis moved to `axis`."""
    dtype = kind if dtype is None else standardize_dtype(dtype)
    if dtype not in INEXACT_SET and values.dtype in INEXACT_SET:
        values = lang.floor(values)
    ndim = len(values.shape)
    return move_axis(lang.cast(values, dtype), 0, axis % ndim)


@op()
def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Powers of a base with evenly spaced exponents.

    Args:
        start: first exponent; a tensor gives several sequences at once.
        stop: last exponent.
        num: how many.
        endpoint: whether `stop` is one of the exponents.
        base: the base.
        dtype: dtype of the result; floating by default.
        axis: axis of the result along which the numbers run.

    Returns:
        Tensor.

    Example:
        >>> logspace(0.0, 2.0, 3).tolist()
        [1.0, 10.0, 100.0]
    """
    exponents, _, kind = _spaced(start, stop, num, endpoint)
    return _finish(lang.pow_(to_tensor(base, exponents.dtype), exponents), kind, dtype, axis)


@op()
def geomspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Numbers over an interval with a constant ratio of neighbours.

    Args:
        start: first number, not zero; a tensor gives several sequences at once.
        stop: last number, of the same sign.
        num: how many.
        endpoint: whether `stop` is one of them.
        dtype: dtype of the result; floating by default.
        axis: axis of the result along which the numbers run.

    Returns:
        Tensor.

    Example:
        >>> geomspace(1.0, 4.0, 3).tolist()
        [1.0, 2.0, 4.0]
    """
    weak = (int, float, bool)
    kind = result_type(
        *(v.__class__ if v.__class__ in weak else to_tensor(v).dtype for v in (start, stop)), float
    )
    work = kind if kind == "float64" else "float32"
    first, last = to_tensor(start, work), to_tensor(stop, work)
    ratio = lang.div(last, first)
    exponents, _, _ = _spaced(lang.mul(ratio, 0.0), lang.log(ratio), num, endpoint)
    values = lang.mul(first, lang.exp(exponents))
    if endpoint and int(num) > 1:
        at = lang.iota((int(num),) + (1,) * len(ratio.shape), 0, "int32")
        values = lang.select(lang.eq(at, int(num) - 1), last, values)
    return _finish(values, kind, dtype, axis)


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
