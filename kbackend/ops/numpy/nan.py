"""Reductions of the elements that are not NaN."""

from __future__ import annotations

import math
from typing import Any

from kbackend.base.dtypes import INEXACT_SET
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.numpy.common import LOW_PRECISION, axes_of, floating
from kbackend.ops.numpy.reduce import argmax, argmin, max, min, prod, sum


def _filled(x: Any, value: float) -> Any:
    """`x` with NaN replaced."""
    x = to_tensor(x)
    return lang.select(lang.ne(x, x), value, x) if x.dtype in INEXACT_SET else x


def _present(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """Number of elements along axes that are not NaN, in x's dtype."""
    return lang.reduce_sum(lang.cast(lang.eq(x, x), x.dtype), axes, keepdims)


@op()
def nansum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Sum along axes, with NaN counting as 0.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Tensor of x's dtype; narrow integers and bool become 32 bits wide.

    Example:
        >>> nansum([1.0, float("nan"), 3.0]).item()
        4.0
    """
    return sum(_filled(x, 0.0), axis, keepdims)


@op()
def nanprod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Product along axes, with NaN counting as 1.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Tensor of x's dtype; narrow integers and bool become 32 bits wide.

    Example:
        >>> nanprod([2.0, float("nan"), 3.0]).item()
        6.0
    """
    return prod(_filled(x, 1.0), axis, keepdims)


def _extreme(x: Any, axis: Any, keepdims: bool, reduce: Any, worst: float) -> Any:
    x = to_tensor(x)
    out = reduce(_filled(x, worst), axis, keepdims)
    if x.dtype not in INEXACT_SET:
        return out
    none = lang.eq(_present(x, axes_of(axis, len(x.shape)), keepdims), 0.0)
    return lang.select(none, math.nan, out)


@op()
def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Greatest element along axes, NaN left out; NaN where there is nothing else.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Tensor of x's dtype.

    Example:
        >>> nanmax([1.0, float("nan"), 3.0]).item()
        3.0
    """
    return _extreme(x, axis, keepdims, max, -math.inf)


@op()
def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Least element along axes, NaN left out; NaN where there is nothing else.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Tensor of x's dtype.

    Example:
        >>> nanmin([1.0, float("nan"), 3.0]).item()
        1.0
    """
    return _extreme(x, axis, keepdims, min, math.inf)


def _wide(x: Any) -> tuple[Any, str]:
    """A floating tensor in the precision that sums are done in, and its own dtype."""
    x = floating(x)
    return (lang.cast(x, "float32") if x.dtype in LOW_PRECISION else x), x.dtype


def _variance(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    known = lang.eq(x, x)
    safe = lang.select(known, x, 0.0)
    center = lang.div(lang.reduce_sum(safe, axes, True), _present(x, axes, True))
    gap = lang.select(known, lang.sub(safe, center), 0.0)
    return lang.div(
        lang.reduce_sum(lang.mul(gap, gap), axes, keepdims), _present(x, axes, keepdims)
    )


@op()
def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Mean along axes of the elements that are not NaN.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Floating tensor; NaN where there is nothing else.

    Example:
        >>> nanmean([1.0, float("nan"), 3.0]).item()
        2.0
    """
    wide, dtype = _wide(x)
    axes = axes_of(axis, len(wide.shape))
    total = lang.reduce_sum(_filled(wide, 0.0), axes, keepdims)
    return lang.cast(lang.div(total, _present(wide, axes, keepdims)), dtype)


@op()
def nanvar(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Variance along axes of the elements that are not NaN.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Floating tensor; NaN where there is nothing else.

    Example:
        >>> nanvar([1.0, float("nan"), 3.0]).item()
        1.0
    """
    wide, dtype = _wide(x)
    return lang.cast(_variance(wide, axes_of(axis, len(wide.shape)), keepdims), dtype)


@op()
def nanstd(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Standard deviation along axes of the elements that are not NaN.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Floating tensor; NaN where there is nothing else.

    Example:
        >>> nanstd([1.0, float("nan"), 3.0]).item()
        1.0
    """
    wide, dtype = _wide(x)
    out = lang.sqrt(_variance(wide, axes_of(axis, len(wide.shape)), keepdims))
    return lang.cast(out, dtype)


def _locate(x: Any, axis: Any, keepdims: bool, find: Any, worst: float) -> Any:
    x = to_tensor(x)
    out = find(_filled(x, worst), axis, keepdims)
    if x.dtype not in INEXACT_SET:
        return out
    none = lang.eq(_present(x, axes_of(axis, len(x.shape)), keepdims), 0.0)
    return lang.select(none, -1, out)


@op()
def nanargmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Position of the first greatest element along an axis, NaN left out.

    Args:
        x: tensor.
        axis: int, or `None` for the position in the flattened tensor.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        int32 tensor; -1 where all elements are NaN.

    Example:
        >>> nanargmax([1.0, float("nan"), 3.0]).item()
        2
    """
    return _locate(x, axis, keepdims, argmax, -math.inf)


@op()
def nanargmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Position of the first least element along an axis, NaN left out.

    Args:
        x: tensor.
        axis: int, or `None` for the position in the flattened tensor.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        int32 tensor; -1 where all elements are NaN.

    Example:
        >>> nanargmin([1.0, float("nan"), 3.0]).item()
        0
    """
    return _locate(x, axis, keepdims, argmin, math.inf)
