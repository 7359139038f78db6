"""Comparisons, logic and tests of single elements."""

from __future__ import annotations

import math
from typing import Any

from kbackend.base.dtypes import COMPLEX_SET, INEXACT_SET, UNSIGNED, itemsize
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.operators import promote
from kbackend.ops.define import op
from kbackend.ops.numpy.common import negate, truth


@op()
def equal(x1: Any, x2: Any) -> Any:
    """Where two tensors are equal.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        bool tensor of the broadcast shape.

    Example:
        >>> equal([1, 2], 2).tolist()
        [False, True]
    """
    return lang.eq(*promote(x1, x2))


@op()
def not_equal(x1: Any, x2: Any) -> Any:
    """Where two tensors differ; NaN differs from itself.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        bool tensor of the broadcast shape.

    Example:
        >>> not_equal([1, 2], 2).tolist()
        [True, False]
    """
    return lang.ne(*promote(x1, x2))


@op()
def less(x1: Any, x2: Any) -> Any:
    """Where the first of two tensors is less.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        bool tensor of the broadcast shape.

    Example:
        >>> less([1, 2], 2).tolist()
        [True, False]
    """
    return lang.lt(*promote(x1, x2))


@op()
def less_equal(x1: Any, x2: Any) -> Any:
    """Where the first of two tensors is less or equal.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        bool tensor of the broadcast shape.

    Example:
        >>> less_equal([1, 3], 2).tolist()
        [True, False]
    """
    return lang.le(*promote(x1, x2))


@op()
def greater(x1: Any, x2: Any) -> Any:
    """Where the first of two tensors is greater.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        bool tensor of the broadcast shape.

    Example:
        >>> greater([1, 3], 2).tolist()
        [False, True]
    """
    x, y = promote(x1, x2)
    return lang.lt(y, x)


@op()
def greater_equal(x1: Any, x2: Any) -> Any:
    """Where the first of two tensors is greater or equal.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        bool tensor of the broadcast shape.

    Example:
        >>> greater_equal([1, 2], 2).tolist()
        [False, True]
    """
    x, y = promote(x1, x2)
    return lang.le(y, x)


@op()
def logical_and(x1: Any, x2: Any) -> Any:
    """Where both of two tensors are true, that is, not zero.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        bool tensor of the broadcast shape.

    Example:
        >>> logical_and([True, False], True).tolist()
        [True, False]
    """
    return lang.bitwise_and(truth(x1), truth(x2))


@op()
def logical_or(x1: Any, x2: Any) -> Any:
    """Where at least one of two tensors is true, that is, not zero.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        bool tensor of the broadcast shape.

    Example:
        >>> logical_or([True, False], False).tolist()
        [True, False]
    """
    return lang.bitwise_or(truth(x1), truth(x2))


@op()
def logical_xor(x1: Any, x2: Any) -> Any:
    """Where exactly one of two tensors is true, that is, not zero.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        bool tensor of the broadcast shape.

    Example:
        >>> logical_xor([True, False], True).tolist()
        [False, True]
    """
    return lang.bitwise_xor(truth(x1), truth(x2))


def _is(x: Any, value: float) -> Any:
    """Where a real tensor equals an infinity, which no integer does."""
    return lang.eq(x, value) if x.dtype in INEXACT_SET else _everywhere(x, False)


def _everywhere(x: Any, value: bool) -> Any:
    """`value` in x's shape, where no element can be anything else."""
    return lang.eq(x, x) if value else lang.ne(x, x)


@op()
def logical_not(x: Any) -> Any:
    """Where a tensor is false, that is, zero.

    Args:
        x: tensor.

    Returns:
        bool tensor of x's shape.

    Example:
        >>> logical_not([True, False]).tolist()
        [False, True]
    """
    return negate(truth(x))


@op()
def isfinite(x: Any) -> Any:
    """Where elements are neither infinite nor NaN.

    Args:
        x: tensor.

    Returns:
        bool tensor of x's shape.

    Example:
        >>> isfinite([1.0, float("inf")]).tolist()
        [True, False]
    """
    x = to_tensor(x)
    return lang.isfinite(x) if x.dtype in INEXACT_SET else lang.eq(x, x)


@op()
def isnan(x: Any) -> Any:
    """Where elements are NaN.

    Args:
        x: tensor.

    Returns:
        bool tensor of x's shape.

    Example:
        >>> isnan([1.0, float("nan")]).tolist()
        [False, True]
    """
    x = to_tensor(x)
    return lang.ne(x, x)


@op()
def isinf(x: Any) -> Any:
    """Where elements are infinite.

    Args:
        x: tensor.

    Returns:
        bool tensor of x's shape.

    Example:
        >>> isinf([1.0, float("-inf")]).tolist()
        [False, True]
    """
    x = to_tensor(x)
    if x.dtype in COMPLEX_SET:
        return lang.bitwise_or(
            _is(lang.abs_(lang.real(x)), math.inf), _is(lang.abs_(lang.imag(x)), math.inf)
        )
    return _is(lang.abs_(x) if x.dtype in INEXACT_SET else x, math.inf)


@op()
def isposinf(x: Any) -> Any:
    """Where elements are positive infinity.

    Args:
        x: tensor.

    Returns:
        bool tensor of x's shape.

    Example:
        >>> isposinf([float("inf"), float("-inf")]).tolist()
        [True, False]
    """
    return _is(to_tensor(x), math.inf)


@op()
def isneginf(x: Any) -> Any:
    """Where elements are negative infinity.

    Args:
        x: tensor.

    Returns:
        bool tensor of x's shape.

    Example:
        >>> isneginf([float("inf"), float("-inf")]).tolist()
        [False, True]
    """
    return _is(to_tensor(x), -math.inf)


@op()
def isreal(x: Any) -> Any:
    """Where the imaginary part is zero.

    Args:
        x: tensor.

    Returns:
        bool tensor of x's shape.

    Example:
        >>> isreal([1.0, 2.0]).tolist()
        [True, True]
    """
    x = to_tensor(x)
    return lang.eq(lang.imag(x), 0.0) if x.dtype in COMPLEX_SET else _everywhere(x, True)


@op()
def signbit(x: Any) -> Any:
    """Where the sign bit is set: negative numbers and -0.0.

    Args:
        x: tensor.

    Returns:
        bool tensor of x's shape.

    Example:
        >>> signbit([-0.0, 1.0]).tolist()
        [True, False]
    """
    x = to_tensor(x)
    if x.dtype in INEXACT_SET:
        return lang.lt(lang.bitcast(x, f"int{8 * itemsize(x.dtype)}"), 0)
    if x.dtype == "bool" or x.dtype in UNSIGNED:
        return _everywhere(x, False)
    return lang.lt(x, 0)


@op()
def isclose(
    x1: Any, x2: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Any:
    """Where two tensors are equal within a tolerance.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it; the relative tolerance refers to it.
        rtol: relative tolerance.
        atol: absolute tolerance.
        equal_nan: whether NaN counts as equal to NaN.

    Returns:
        bool tensor: `|x1 - x2| <= atol + rtol * |x2|`, or both infinite of one sign.

    Example:
        >>> isclose([1.0, 2.0], [1.0 + 1e-7, 2.1]).tolist()
        [True, False]
    """
    x, y = promote(x1, x2, force_float=True)
    gap, size = lang.abs_(lang.sub(x, y)), lang.abs_(y)
    near = lang.le(gap, lang.add(lang.mul(size, rtol), atol))
    near = lang.bitwise_and(near, lang.bitwise_and(lang.isfinite(x), lang.isfinite(y)))
    near = lang.bitwise_or(near, lang.eq(x, y))
    if equal_nan:
        near = lang.bitwise_or(near, lang.bitwise_and(lang.ne(x, x), lang.ne(y, y)))
    return near


@op()
def allclose(
    x1: Any, x2: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Any:
    """Whether two tensors are equal within a tolerance everywhere.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it; the relative tolerance refers to it.
        rtol: relative tolerance.
        atol: absolute tolerance.
        equal_nan: whether NaN counts as equal to NaN.

    Returns:
        bool scalar.

    Example:
        >>> allclose([1.0, 2.0], [1.0, 2.0 + 1e-7]).item()
        True
    """
    far = negate(isclose(x1, x2, rtol=rtol, atol=atol, equal_nan=equal_nan))
    total = lang.reduce_sum(lang.cast(far, "int32"), tuple(range(len(far.shape))))
    return lang.eq(total, 0)


@op()
def heaviside(x1: Any, x2: Any) -> Any:
    """Step function: 0 for negative, 1 for positive elements, `x2` at 0.

    Args:
        x1: tensor.
        x2: tensor of values at 0 that broadcasts with it.

    Returns:
        Floating tensor of the broadcast shape.

    Example:
        >>> heaviside([-2.0, 0.0, 3.0], 0.5).tolist()
        [0.0, 0.5, 1.0]
    """
    x, y = promote(x1, x2, force_float=True)
    step = lang.select(lang.lt(x, 0.0), lang.zeros((), x.dtype), 1.0)
    step = lang.select(lang.eq(x, 0.0), y, step)
    return lang.select(lang.ne(x, x), x, step)


@op()
def nextafter(x1: Any, x2: Any) -> Any:
    """The next representable number after `x1` on the way to `x2`.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        Floating tensor of the broadcast shape.

    Example:
        >>> (nextafter([1.0], [2.0]).numpy() - 1.0 == np.finfo("float32").eps).tolist()
        [True]
    """
    x, y = promote(x1, x2, force_float=True)
    bits = f"int{8 * itemsize(x.dtype)}"
    number = lang.bitcast(x, bits)
    # Floats of one sign are ordered as their bits are.
    away = lang.eq(lang.lt(x, y), lang.lt(0.0, x))
    step = lang.select(away, lang.full((), 1, bits), -1)
    moved = lang.bitcast(lang.add(number, step), x.dtype)
    least = lang.bitcast(lang.full((), 1, bits), x.dtype)
    moved = lang.select(lang.eq(x, 0.0), lang.select(lang.lt(x, y), least, lang.neg(least)), moved)
    moved = lang.select(lang.eq(x, y), y, moved)
    return lang.select(lang.bitwise_or(lang.ne(x, x), lang.ne(y, y)), lang.add(x, y), moved)
