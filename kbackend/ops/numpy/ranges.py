"""Ranges of numbers: evenly spaced, and with a constant ratio."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kbackend.base.dtypes import INEXACT_SET, result_type, standardize_dtype
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.tensor import tensor
from kbackend.ops.define import op
from kbackend.ops.numpy.common import move_axis


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
        dtype = result_type(
            *(v.__class__ if v.__class__ in (int, float) else v.dtype for v in given)
        )
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
    values = lang.add(lang.mul(start, lang.sub(1.0, share)), lang.mul(lang.add(start, span), share))
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
