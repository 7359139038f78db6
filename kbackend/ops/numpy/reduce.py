"""Reductions: sums, extremes, means, and where the extremes are."""

from __future__ import annotations

from typing import Any

from kbackend.base.dtypes import COMPLEX_SET, result_type
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.numpy.common import (
    LOW_PRECISION,
    axes_of,
    axis_of,
    count,
    flat,
    floating,
    insert_axis,
    truth,
)

# Sums of narrow integers need room.
_SUM_DTYPES = {
    "bool": "int32", "int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32",
}  # fmt: skip


def summable(x: Any) -> Any:
    """`x` in the dtype its sums and products have."""
    wide = _SUM_DTYPES.get(x.dtype)
    return x if wide is None else lang.cast(x, wide)


@op()
def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Sum of the elements along axes.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Tensor of x's dtype; narrow integers and bool become 32 bits wide.

    Example:
        >>> sum([[1, 2], [3, 4]], axis=0).tolist()
        [4, 6]
    """
    x = to_tensor(x)
    return lang.reduce_sum(summable(x), axes_of(axis, len(x.shape)), keepdims)


@op()
def prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    """Product of the elements along axes.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.
        dtype: dtype of the result and of the multiplications.

    Returns:
        Tensor of `dtype`, or of x's dtype; narrow integers and bool become 32 bits wide.

    Example:
        >>> prod([[1, 2], [3, 4]]).item()
        24
    """
    x = to_tensor(x, dtype) if dtype is not None else summable(to_tensor(x))
    return lang.reduce_prod(x, axes_of(axis, len(x.shape)), keepdims)


@op()
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Arithmetic mean of the elements along axes.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Floating tensor. Half precision is summed in float32.

    Example:
        >>> mean([[1, 2], [3, 4]], axis=1).tolist()
        [1.5, 3.5]
    """
    x = floating(x)
    dtype = x.dtype
    axes = axes_of(axis, len(x.shape))
    if dtype in LOW_PRECISION:
        x = lang.cast(x, "float32")
    total = lang.reduce_sum(x, axes, keepdims)
    return lang.cast(lang.div(total, float(count(x, axes))), dtype)


@op()
def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Variance (mean squared deviation from the mean) along axes.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Floating tensor, real for a complex x. Half precision is computed in float32.

    Example:
        >>> var([1.0, 3.0]).item()
        1.0
    """
    x = floating(x)
    dtype = x.dtype
    if dtype in LOW_PRECISION:
        x = lang.cast(x, "float32")
    out = variance(x, axes_of(axis, len(x.shape)), keepdims)
    return lang.cast(out, dtype) if dtype in LOW_PRECISION else out


def variance(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """Variance of a floating or complex tensor in its own precision."""
    size = float(count(x, axes))
    center = lang.sub(x, lang.div(lang.reduce_sum(x, axes, True), size))
    if x.dtype in COMPLEX_SET:
        a, b = lang.real(center), lang.imag(center)
        square = lang.add(lang.mul(a, a), lang.mul(b, b))
    else:
        square = lang.mul(center, center)
    return lang.div(lang.reduce_sum(square, axes, keepdims), size)


@op()
def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Standard deviation, the square root of the variance, along axes.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Floating tensor, real for a complex x. Half precision is computed in float32.

    Example:
        >>> std([1.0, 3.0]).item()
        1.0
    """
    x = floating(x)
    dtype = x.dtype
    if dtype in LOW_PRECISION:
        x = lang.cast(x, "float32")
    out = lang.sqrt(variance(x, axes_of(axis, len(x.shape)), keepdims))
    return lang.cast(out, dtype) if dtype in LOW_PRECISION else out


def _extreme(
    x: Any, axis: Any, keepdims: bool, initial: Any, reduce: Any, choose: Any, name: str
) -> Any:
    x = to_tensor(x)
    axes = axes_of(axis, len(x.shape))
    if 0 in [x.shape[i] for i in axes]:
        if initial is None:
            raise ValueError(
                f"[{name}] has no value over zero elements unless 'initial' gives one. "
                f"Received: shape={tuple(x.shape)}, axis={axis}."
            )
        # A sum over nothing has the right shape.
        zeros = lang.mul(lang.reduce_sum(summable(x), axes, keepdims), 0)
        return lang.cast(lang.add(zeros, to_tensor(initial, zeros.dtype)), x.dtype)
    out = reduce(x, axes, keepdims)
    return out if initial is None else choose(out, to_tensor(initial, out.dtype))


@op()
def max(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """Greatest element along axes; NaN if there is one.

    Args:
        x: tensor of real numbers.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.
        initial: value that the result is not below; needed where there are no elements.

    Returns:
        Tensor of x's dtype.

    Raises:
        ValueError: there are no elements and no `initial`.

    Example:
        >>> max([[1, 5], [3, 4]], axis=1).tolist()
        [5, 4]
    """
    return _extreme(x, axis, keepdims, initial, lang.reduce_max, lang.maximum, "max")


@op()
def min(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """Least element along axes; NaN if there is one.

    Args:
        x: tensor of real numbers.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.
        initial: value that the result is not above; needed where there are no elements.

    Returns:
        Tensor of x's dtype.

    Raises:
        ValueError: there are no elements and no `initial`.

    Example:
        >>> min([[1, 5], [3, 4]], axis=1).tolist()
        [1, 3]
    """
    return _extreme(x, axis, keepdims, initial, lang.reduce_min, lang.minimum, "min")


@op()
def amax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Greatest element along axes; NaN if there is one.

    Args:
        x: tensor of real numbers.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Tensor of x's dtype.

    Example:
        >>> amax([1, 5, 3]).item()
        5
    """
    return _extreme(x, axis, keepdims, None, lang.reduce_max, lang.maximum, "amax")


@op()
def amin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Least element along axes; NaN if there is one.

    Args:
        x: tensor of real numbers.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Tensor of x's dtype.

    Example:
        >>> amin([1, 5, 3]).item()
        1
    """
    return _extreme(x, axis, keepdims, None, lang.reduce_min, lang.minimum, "amin")


@op()
def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Greatest minus least element along axes.

    Args:
        x: tensor of real numbers.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Tensor of x's dtype.

    Example:
        >>> ptp([1, 5, 3]).item()
        4
    """
    x = to_tensor(x)
    greatest = _extreme(x, axis, keepdims, None, lang.reduce_max, lang.maximum, "ptp")
    least = _extreme(x, axis, keepdims, None, lang.reduce_min, lang.minimum, "ptp")
    return lang.sub(greatest, least)


def _any_all(x: Any, axis: Any, keepdims: bool, reduce: Any, empty: bool) -> Any:
    x = truth(x)
    axes = axes_of(axis, len(x.shape))
    if 0 in [x.shape[i] for i in axes]:
        number = lang.reduce_sum(lang.cast(x, "int32"), axes, keepdims)
        return lang.eq(number, 0) if empty else lang.ne(number, 0)
    return reduce(x, axes, keepdims)


@op()
def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether some element along axes is true, that is, not zero.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        bool tensor; false over zero elements.

    Example:
        >>> any([[True, False], [False, False]], axis=1).tolist()
        [True, False]
    """
    return _any_all(x, axis, keepdims, lang.reduce_max, False)


@op()
def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether every element along axes is true, that is, not zero.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        bool tensor; true over zero elements.

    Example:
        >>> all([[True, True], [False, True]], axis=1).tolist()
        [True, False]
    """
    return _any_all(x, axis, keepdims, lang.reduce_min, True)


@op()
def count_nonzero(x: Any, axis: Any = None) -> Any:
    """Number of elements along axes that are not zero.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.

    Returns:
        int32 tensor.

    Example:
        >>> count_nonzero([[1, 0], [3, 4]], axis=0).tolist()
        [2, 1]
    """
    x = truth(x)
    return lang.reduce_sum(lang.cast(x, "int32"), axes_of(axis, len(x.shape)))


def _locate(x: Any, axis: Any, keepdims: bool, find: Any) -> Any:
    x = to_tensor(x)
    if x.dtype == "bool":
        x = lang.cast(x, "int32")
    if axis is not None:
        axis = axis_of(axis, len(x.shape))
        out = find(x, axis)
        return insert_axis(out, axis) if keepdims else out
    out = find(flat(x), 0)
    return lang.reshape(out, (1,) * len(x.shape)) if keepdims else out


@op()
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Position of the first greatest element along an axis.

    Args:
        x: tensor of real numbers.
        axis: int, or `None` for the position in the flattened tensor.
        keepdims: whether the reduced axis stays, with size 1.

    Returns:
        int32 tensor.

    Example:
        >>> argmax([[1, 5], [4, 3]], axis=1).tolist()
        [1, 0]
    """
    return _locate(x, axis, keepdims, lang.argmax)


@op()
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Position of the first least element along an axis.

    Args:
        x: tensor of real numbers.
        axis: int, or `None` for the position in the flattened tensor.
        keepdims: whether the reduced axis stays, with size 1.

    Returns:
        int32 tensor.

    Example:
        >>> argmin([[1, 5], [4, 3]], axis=1).tolist()
        [0, 1]
    """
    return _locate(x, axis, keepdims, lang.argmin)


@op(tensors=("weights",))
def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    """Weighted mean along axes.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.
        weights: tensor of x's shape, or a vector as long as the one `axis`; equal by default.

    Returns:
        Floating tensor.

    Example:
        >>> average([1.0, 4.0], weights=[2.0, 1.0]).item()
        2.0
    """
    x = to_tensor(x)
    axes = axes_of(axis, len(x.shape))
    if weights is None:
        return mean(x, axis)
    weights = to_tensor(weights)
    dtype = result_type(x.dtype, weights.dtype, float)
    x, weights = lang.cast(x, dtype), lang.cast(weights, dtype)
    if len(weights.shape) == 1 and len(x.shape) != 1:
        if len(axes) != 1:
            raise ValueError(
                "average() takes weights that are a vector along one axis. "
                f"Received: axis={axis}, x.shape={tuple(x.shape)}."
            )
        shape = tuple(weights.shape[0] if i in axes else 1 for i in range(len(x.shape)))
        weights = lang.reshape(weights, shape)
    total = lang.reduce_sum(lang.mul(x, weights), axes)
    ones = lang.add(lang.mul(x, 0), 1)
    return lang.div(total, lang.reduce_sum(lang.mul(ones, weights), axes))
