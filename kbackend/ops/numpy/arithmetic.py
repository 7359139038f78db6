"""Arithmetic of two tensors, and the simplest functions of one."""

from __future__ import annotations

from typing import Any

from kbackend.base.dtypes import COMPLEX_SET, INEXACT_SET, UNSIGNED, result_type
from kbackend.core import lang, operators
from kbackend.core.convert import to_tensor
from kbackend.core.lang.constants import SCALAR_TYPES
from kbackend.core.operators import promote
from kbackend.ops.define import op
from kbackend.ops.numpy.common import floating, numeric


@op()
def add(x1: Any, x2: Any) -> Any:
    """Sum of two tensors, element by element.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        x1 + x2, in their common dtype.

    Example:
        >>> add([1, 2], 3).tolist()
        [4, 5]
    """
    return lang.add(*promote(x1, x2))


@op()
def subtract(x1: Any, x2: Any) -> Any:
    """Difference of two tensors, element by element.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        x1 - x2, in their common dtype.

    Example:
        >>> subtract([1, 2], 3).tolist()
        [-2, -1]
    """
    return operators.subtract(x1, x2)


@op()
def multiply(x1: Any, x2: Any) -> Any:
    """Product of two tensors, element by element.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        x1 * x2, in their common dtype.

    Example:
        >>> multiply([1, 2], 3).tolist()
        [3, 6]
    """
    return lang.mul(*promote(x1, x2))


@op()
def divide(x1: Any, x2: Any) -> Any:
    """Quotient of two tensors, element by element.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        x1 / x2, always floating.

    Example:
        >>> divide([1, 3], 2).tolist()
        [0.5, 1.5]
    """
    return lang.div(*promote(x1, x2, force_float=True))


@op()
def true_divide(x1: Any, x2: Any) -> Any:
    """The same as `divide`.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        x1 / x2, always floating.

    Example:
        >>> true_divide([1, 3], 2).tolist()
        [0.5, 1.5]
    """
    return lang.div(*promote(x1, x2, force_float=True))


@op()
def divide_no_nan(x1: Any, x2: Any) -> Any:
    """Quotient of two tensors that is 0 where the divisor is 0.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        x1 / x2, or 0.

    Example:
        >>> divide_no_nan([1.0, 3.0], [2.0, 0.0]).tolist()
        [0.5, 0.0]
    """
    x, y = promote(x1, x2, force_float=True)
    zero = lang.eq(y, 0.0)
    return lang.select(zero, 0.0, lang.div(x, lang.select(zero, 1.0, y)))


@op()
def floor_divide(x1: Any, x2: Any) -> Any:
    """Greatest integer not above the quotient of two tensors.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        floor(x1 / x2), in their common dtype.

    Example:
        >>> floor_divide([7, -7], 2).tolist()
        [3, -4]
    """
    return operators.floor_divide(x1, x2)


@op()
def mod(x1: Any, x2: Any) -> Any:
    """Remainder of the division, with the sign of the divisor.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        x1 - floor(x1 / x2) * x2

    Example:
        >>> mod([7, -7], 3).tolist()
        [1, 2]
    """
    return operators.mod(x1, x2)


@op()
def fmod(x1: Any, x2: Any) -> Any:
    """Remainder of the division, with the sign of the dividend.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        x1 - trunc(x1 / x2) * x2

    Example:
        >>> fmod([7, -7], 3).tolist()
        [1, -1]
    """
    x, y = operators._bool_to_int(*promote(x1, x2))
    if x.dtype in INEXACT_SET:
        rest = lang.mod(lang.abs_(x), lang.abs_(y))
        return lang.select(lang.lt(x, 0.0), lang.neg(rest), rest)
    rest = lang.mod(x, y)
    if x.dtype in UNSIGNED:
        return rest
    mixed = lang.ne(lang.lt(x, 0), lang.lt(y, 0))
    return lang.select(lang.bitwise_and(mixed, lang.ne(rest, 0)), lang.sub(rest, y), rest)


@op()
def power(x1: Any, x2: Any) -> Any:
    """x1 to the power x2, element by element.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        Powers in the common dtype.

    Example:
        >>> power([2, 3], 2).tolist()
        [4, 9]
    """
    return operators.power(x1, x2)


@op()
def negative(x: Any) -> Any:
    """-x, element by element.

    Args:
        x: tensor of numbers.

    Returns:
        Tensor like x.

    Example:
        >>> negative([1, -2]).tolist()
        [-1, 2]
    """
    return lang.neg(to_tensor(x))


@op()
def absolute(x: Any) -> Any:
    """Absolute value; the modulus of complex numbers.

    Args:
        x: tensor.

    Returns:
        Tensor like x; real for a complex x.

    Example:
        >>> absolute([1, -2]).tolist()
        [1, 2]
    """
    return operators.absolute(x)


@op()
def abs(x: Any) -> Any:
    """The same as `absolute`.

    Args:
        x: tensor.

    Returns:
        Tensor like x; real for a complex x.

    Example:
        >>> abs([1, -2]).tolist()
        [1, 2]
    """
    return operators.absolute(x)


@op()
def fabs(x: Any) -> Any:
    """Absolute value as a float.

    Args:
        x: tensor of real numbers.

    Returns:
        Floating tensor.

    Example:
        >>> fabs([1, -2]).tolist()
        [1.0, 2.0]
    """
    return lang.abs_(floating(x))


@op()
def sign(x: Any) -> Any:
    """-1, 0 or 1 by the sign of each element; NaN stays NaN.

    Args:
        x: tensor of numbers.

    Returns:
        Tensor like x.

    Example:
        >>> sign([-3, 0, 5]).tolist()
        [-1, 0, 1]
    """
    return lang.sign(numeric(x))


@op()
def square(x: Any) -> Any:
    """x * x, element by element.

    Args:
        x: tensor.

    Returns:
        Tensor like x (int32 for bool).

    Example:
        >>> square([1, -3]).tolist()
        [1, 9]
    """
    x = numeric(x)
    return lang.mul(x, x)


@op()
def reciprocal(x: Any) -> Any:
    """1 / x, element by element.

    Args:
        x: tensor.

    Returns:
        Floating tensor.

    Example:
        >>> reciprocal([1, 4]).tolist()
        [1.0, 0.25]
    """
    return lang.div(1.0, floating(x))


@op()
def maximum(x1: Any, x2: Any) -> Any:
    """The greater of two tensors, element by element; NaN if either is.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> maximum([1, 5], 3).tolist()
        [3, 5]
    """
    return lang.maximum(*promote(x1, x2))


@op()
def minimum(x1: Any, x2: Any) -> Any:
    """The lesser of two tensors, element by element; NaN if either is.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> minimum([1, 5], 3).tolist()
        [1, 3]
    """
    return lang.minimum(*promote(x1, x2))


def _ignoring_nan(choose: Any, x1: Any, x2: Any) -> Any:
    x, y = promote(x1, x2)
    if x.dtype not in INEXACT_SET:
        return choose(x, y)
    chosen = lang.select(lang.ne(y, y), x, choose(x, y))
    return lang.select(lang.ne(x, x), y, chosen)


@op()
def fmax(x1: Any, x2: Any) -> Any:
    """The greater of two tensors, element by element; NaN only where both are.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> fmax([1.0, float("nan")], 3.0).tolist()
        [3.0, 3.0]
    """
    return _ignoring_nan(lang.maximum, x1, x2)


@op()
def fmin(x1: Any, x2: Any) -> Any:
    """The lesser of two tensors, element by element; NaN only where both are.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> fmin([1.0, float("nan")], 3.0).tolist()
        [1.0, 3.0]
    """
    return _ignoring_nan(lang.minimum, x1, x2)


@op()
def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """x with elements below `x_min` or above `x_max` replaced by these bounds.

    Args:
        x: tensor.
        x_min: scalar or tensor, or `None` for no lower bound.
        x_max: scalar or tensor, or `None` for no upper bound.

    Returns:
        Tensor like x.

    Example:
        >>> clip([1, 5, 9], 2, 6).tolist()
        [2, 5, 6]
    """
    x = numeric(x)
    dtype = x.dtype
    for bound in (x_min, x_max):
        if bound is not None:
            own = bound.__class__ if bound.__class__ in SCALAR_TYPES else to_tensor(bound).dtype
            dtype = result_type(dtype, own)
    if dtype in COMPLEX_SET:
        raise ValueError("clip() takes real numbers, which have an order. Received: complex.")
    x = lang.cast(x, dtype)
    if x_min is not None:
        x = lang.maximum(x, _bound(x_min, x))
    if x_max is not None:
        x = lang.minimum(x, _bound(x_max, x))
    return x


def _bound(value: Any, x: Any) -> Any:
    return value if value.__class__ in SCALAR_TYPES else to_tensor(value, x.dtype)
