"""Exponentials, logarithms and roots."""

from __future__ import annotations

import math
from typing import Any

from kbackend.core import lang
from kbackend.core.composite import composite
from kbackend.core.operators import promote
from kbackend.ops.define import op
from kbackend.ops.numpy.common import floating
from kbackend.prim.common import unbroadcast


@composite("cbrt")
def _cbrt(x: Any) -> Any:
    size = lang.abs_(x)
    zero = lang.eq(size, 0.0)
    root = lang.pow_(lang.select(zero, 1.0, size), 1.0 / 3.0)
    # One step of Newton's method makes up for 1/3 being rounded; infinities have no next step.
    better = lang.sub(root, lang.div(lang.sub(root, lang.div(size, lang.mul(root, root))), 3.0))
    root = lang.select(lang.isfinite(better), better, root)
    return lang.mul(lang.sign(x), root)


@_cbrt.def_vjp
def _cbrt_vjp(needs: Any, g: Any, result: Any, x: Any) -> Any:
    return (lang.div(g, lang.mul(lang.mul(result, result), 3.0)),)


@composite("logaddexp")
def _logaddexp(x: Any, y: Any) -> Any:
    gap = lang.abs_(_gap(x, y))
    return lang.add(lang.maximum(x, y), lang.log1p(lang.exp(lang.neg(gap))))


@_logaddexp.def_vjp
def _logaddexp_vjp(needs: Any, g: Any, result: Any, x: Any, y: Any) -> Any:
    gap = _gap(x, y)
    return (
        unbroadcast(lang.mul(g, lang.sigmoid(gap)), x) if needs[0] else None,
        unbroadcast(lang.mul(g, lang.sigmoid(lang.neg(gap))), y) if needs[1] else None,
    )


def _gap(x: Any, y: Any) -> Any:
    """x - y, and 0 between equal infinities."""
    infinite = lang.bitwise_and(lang.eq(x, y), lang.eq(lang.abs_(x), math.inf))
    return lang.select(infinite, 0.0, lang.sub(x, y))


@op()
def exp(x: Any) -> Any:
    """e to the power x, element by element.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> exp([0.0, 1.0]).tolist()
        [1.0, 2.71...]
    """
    return lang.exp(floating(x))


@op()
def exp2(x: Any) -> Any:
    """2 to the power x, element by element.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> exp2([0, 3]).tolist()
        [1.0, 8.0]
    """
    return lang.pow_(2.0, floating(x))


@op()
def expm1(x: Any) -> Any:
    """exp(x) - 1, exact near 0.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> expm1([0.0]).tolist()
        [0.0]
    """
    return lang.expm1(floating(x))


@op()
def log(x: Any) -> Any:
    """Natural logarithm, element by element.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> log([1.0]).tolist()
        [0.0]
    """
    return lang.log(floating(x))


@op()
def log10(x: Any) -> Any:
    """Logarithm to the base 10, element by element.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> log10([100.0]).tolist()
        [2.0]
    """
    return lang.div(lang.log(floating(x)), math.log(10.0))


@op()
def log1p(x: Any) -> Any:
    """log(1 + x), exact near 0.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> log1p([0.0]).tolist()
        [0.0]
    """
    return lang.log1p(floating(x))


@op()
def log2(x: Any) -> Any:
    """Logarithm to the base 2, element by element.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> log2([8.0]).tolist()
        [3.0]
    """
    return lang.div(lang.log(floating(x)), math.log(2.0))


@op()
def sqrt(x: Any) -> Any:
    """Square root; NaN for negative numbers.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> sqrt([4.0, 9.0]).tolist()
        [2.0, 3.0]
    """
    return lang.sqrt(floating(x))


@op()
def cbrt(x: Any) -> Any:
    """Real cube root.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> cbrt([8.0, -27.0]).tolist()
        [2.0, -3.0]
    """
    return _cbrt(floating(x))


@op()
def logaddexp(x1: Any, x2: Any) -> Any:
    """log(exp(x1) + exp(x2)), without overflow.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        Floating tensor of the broadcast shape.

    Example:
        >>> logaddexp([0.0], [0.0]).tolist()
        [0.693...]
    """
    return _logaddexp(*promote(x1, x2, force_float=True))


@op()
def logaddexp2(x1: Any, x2: Any) -> Any:
    """log2(2**x1 + 2**x2), without overflow.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        Floating tensor of the broadcast shape.

    Example:
        >>> logaddexp2([0.0], [0.0]).tolist()
        [1.0]
    """
    x, y = promote(x1, x2, force_float=True)
    scale = math.log(2.0)
    return lang.div(_logaddexp(lang.mul(x, scale), lang.mul(y, scale)), scale)
