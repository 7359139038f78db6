"""Trigonometric and hyperbolic functions."""

from __future__ import annotations

import math
from typing import Any

from kbackend.base.dtypes import COMPLEX_SET
from kbackend.core import lang
from kbackend.core.composite import composite
from kbackend.core.operators import promote
from kbackend.ops.define import op
from kbackend.ops.numpy.common import floating
from kbackend.prim.common import unbroadcast

# ----- bodies and gradients of those that take several steps -----


@composite("arcsin")
def _arcsin(x: Any) -> Any:
    return lang.atan2(x, lang.sqrt(_one_minus_square(x)))


@_arcsin.def_vjp
def _arcsin_vjp(needs: Any, g: Any, result: Any, x: Any) -> Any:
    return (lang.mul(g, lang.rsqrt(_one_minus_square(x))),)


@composite("arccos")
def _arccos(x: Any) -> Any:
    return lang.atan2(lang.sqrt(_one_minus_square(x)), x)


@_arccos.def_vjp
def _arccos_vjp(needs: Any, g: Any, result: Any, x: Any) -> Any:
    return (lang.neg(lang.mul(g, lang.rsqrt(_one_minus_square(x)))),)


def _one_minus_square(x: Any) -> Any:
    """1 - x^2, exact near 1 and -1."""
    return lang.mul(lang.sub(1.0, x), lang.add(x, 1.0))


def _half_exp(size: Any) -> tuple[Any, Any]:
    """exp(size) / 2 and exp(-size) / 2. The first overflows only where their sum does."""
    root = lang.exp(lang.mul(size, 0.5))
    return lang.mul(lang.mul(root, 0.5), root), lang.div(lang.div(0.5, root), root)


@composite("sinh")
def _sinh(x: Any) -> Any:
    size = lang.abs_(x)
    grown, shrunk = _half_exp(size)
    # Near 0 the difference of the exponentials would lose its digits.
    less_one = lang.expm1(lang.minimum(size, 1.0))
    near = lang.mul(lang.add(less_one, lang.div(less_one, lang.add(less_one, 1.0))), 0.5)
    return lang.mul(lang.sign(x), lang.select(lang.lt(size, 1.0), near, lang.sub(grown, shrunk)))


@_sinh.def_vjp
def _sinh_vjp(needs: Any, g: Any, result: Any, x: Any) -> Any:
    return (lang.mul(g, _cosh(x)),)


@composite("cosh")
def _cosh(x: Any) -> Any:
    return lang.add(*_half_exp(lang.abs_(x)))


@_cosh.def_vjp
def _cosh_vjp(needs: Any, g: Any, result: Any, x: Any) -> Any:
    return (lang.mul(g, _sinh(x)),)


@composite("arcsinh")
def _arcsinh(x: Any) -> Any:
    size = lang.abs_(x)
    # Beyond it, x^2 + 1 is x^2 to the last digit.
    far = lang.lt(1e4, size)
    near = lang.select(far, 1.0, size)
    square = lang.mul(near, near)
    tail = lang.div(square, lang.add(lang.sqrt(lang.add(square, 1.0)), 1.0))
    close = lang.log1p(lang.add(near, tail))
    distant = lang.add(lang.log(lang.select(far, size, 1.0)), math.log(2.0))
    return lang.mul(lang.sign(x), lang.select(far, distant, close))


@_arcsinh.def_vjp
def _arcsinh_vjp(needs: Any, g: Any, result: Any, x: Any) -> Any:
    return (lang.mul(g, lang.rsqrt(lang.add(lang.mul(x, x), 1.0))),)


@composite("arccosh")
def _arccosh(x: Any) -> Any:
    far = lang.lt(1e4, x)
    above = lang.sub(lang.select(far, 1.0, x), 1.0)
    root = lang.sqrt(lang.mul(above, lang.add(above, 2.0)))
    distant = lang.add(lang.log(lang.select(far, x, 1.0)), math.log(2.0))
    return lang.select(far, distant, lang.log1p(lang.add(above, root)))


@_arccosh.def_vjp
def _arccosh_vjp(needs: Any, g: Any, result: Any, x: Any) -> Any:
    return (lang.mul(g, lang.mul(lang.rsqrt(lang.sub(x, 1.0)), lang.rsqrt(lang.add(x, 1.0)))),)


@composite("hypot")
def _hypot(x: Any, y: Any) -> Any:
    x, y = lang.abs_(x), lang.abs_(y)
    greater = lang.maximum(x, y)
    # Scaled, so that the squares neither overflow nor vanish.
    plain = lang.bitwise_and(lang.lt(0.0, greater), lang.isfinite(greater))
    scale = lang.select(plain, greater, 1.0)
    x, y = lang.div(x, scale), lang.div(y, scale)
    length = lang.mul(scale, lang.sqrt(lang.add(lang.mul(x, x), lang.mul(y, y))))
    infinite = lang.bitwise_or(lang.eq(x, math.inf), lang.eq(y, math.inf))
    return lang.select(infinite, math.inf, length)


@_hypot.def_vjp
def _hypot_vjp(needs: Any, g: Any, result: Any, x: Any, y: Any) -> Any:
    # At the origin it has no slope; 0 is a subgradient.
    scale = lang.div(g, lang.select(lang.eq(result, 0.0), 1.0, result))
    return (
        unbroadcast(lang.mul(x, scale), x) if needs[0] else None,
        unbroadcast(lang.mul(y, scale), y) if needs[1] else None,
    )


# ----- complex arguments: by exponentials and logarithms -----


def _complex_arcsinh(x: Any) -> Any:
    return lang.log(lang.add(x, lang.sqrt(lang.add(lang.mul(x, x), 1.0))))


def _complex_arctanh(x: Any) -> Any:
    return lang.mul(lang.sub(lang.log(lang.add(x, 1.0)), lang.log(lang.sub(1.0, x))), 0.5)


def _complex_arccosh(x: Any) -> Any:
    root = lang.mul(lang.sqrt(lang.add(x, 1.0)), lang.sqrt(lang.sub(x, 1.0)))
    return lang.log(lang.add(x, root))


def _complex_arcsin(x: Any) -> Any:
    return lang.mul(_complex_arcsinh(lang.mul(x, 1j)), -1j)


_COMPLEX: dict[str, Any] = {
    "arcsin": _complex_arcsin,
    "arccos": lambda x: lang.sub(math.pi / 2.0, _complex_arcsin(x)),
    "arctan": lambda x: lang.mul(_complex_arctanh(lang.mul(x, 1j)), -1j),
    "sinh": lambda x: lang.mul(lang.sub(lang.exp(x), lang.exp(lang.neg(x))), 0.5),
    "cosh": lambda x: lang.mul(lang.add(lang.exp(x), lang.exp(lang.neg(x))), 0.5),
    "arcsinh": _complex_arcsinh,
    "arccosh": _complex_arccosh,
    "arctanh": _complex_arctanh,
}


def _apply(x: Any, name: str, real: Any) -> Any:
    """`real` of a floating tensor, or the complex function called `name`."""
    x = floating(x)
    return _COMPLEX[name](x) if x.dtype in COMPLEX_SET else real(x)


def _arctan(x: Any) -> Any:
    return lang.atan2(x, 1.0)


def _arctanh(x: Any) -> Any:
    return lang.mul(lang.sub(lang.log1p(x), lang.log1p(lang.neg(x))), 0.5)


# ----- the functions -----


@op()
def sin(x: Any) -> Any:
    """Sine.

    Args:
        x: tensor of angles in radians.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> sin([0.0]).tolist()
        [0.0]
    """
    return lang.sin(floating(x))


@op()
def cos(x: Any) -> Any:
    """Cosine.

    Args:
        x: tensor of angles in radians.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> cos([0.0]).tolist()
        [1.0]
    """
    return lang.cos(floating(x))


@op()
def tan(x: Any) -> Any:
    """Tangent.

    Args:
        x: tensor of angles in radians.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> tan([0.0]).tolist()
        [0.0]
    """
    x = floating(x)
    return lang.div(lang.sin(x), lang.cos(x))


@op()
def arcsin(x: Any) -> Any:
    """Angle in [-pi/2, pi/2] whose sine is x; NaN outside [-1, 1].

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> arcsin([1.0]).tolist()
        [1.57...]
    """
    return _apply(x, "arcsin", _arcsin)


@op()
def arccos(x: Any) -> Any:
    """Angle in [0, pi] whose cosine is x; NaN outside [-1, 1].

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> arccos([1.0]).tolist()
        [0.0]
    """
    return _apply(x, "arccos", _arccos)


@op()
def arctan(x: Any) -> Any:
    """Angle in [-pi/2, pi/2] whose tangent is x.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> arctan([1.0]).tolist()
        [0.785...]
    """
    return _apply(x, "arctan", _arctan)


@op()
def sinh(x: Any) -> Any:
    """Hyperbolic sine.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> sinh([0.0]).tolist()
        [0.0]
    """
    return _apply(x, "sinh", _sinh)


@op()
def cosh(x: Any) -> Any:
    """Hyperbolic cosine.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> cosh([0.0]).tolist()
        [1.0]
    """
    return _apply(x, "cosh", _cosh)


@op()
def tanh(x: Any) -> Any:
    """Hyperbolic tangent.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> tanh([0.0]).tolist()
        [0.0]
    """
    return lang.tanh(floating(x))


@op()
def arcsinh(x: Any) -> Any:
    """Inverse of the hyperbolic sine.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> arcsinh([0.0]).tolist()
        [0.0]
    """
    return _apply(x, "arcsinh", _arcsinh)


@op()
def arccosh(x: Any) -> Any:
    """Inverse of the hyperbolic cosine; NaN below 1.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> arccosh([1.0]).tolist()
        [0.0]
    """
    return _apply(x, "arccosh", _arccosh)


@op()
def arctanh(x: Any) -> Any:
    """Inverse of the hyperbolic tangent; NaN outside [-1, 1].

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> arctanh([0.0]).tolist()
        [0.0]
    """
    return _apply(x, "arctanh", _arctanh)


@op()
def deg2rad(x: Any) -> Any:
    """Angles in radians, from degrees.

    Args:
        x: tensor of angles in degrees.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> deg2rad([180.0]).tolist()
        [3.14...]
    """
    return lang.mul(floating(x), math.pi / 180.0)


@op()
def rad2deg(x: Any) -> Any:
    """Angles in degrees, from radians.

    Args:
        x: tensor of angles in radians.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> rad2deg([0.0]).tolist()
        [0.0]
    """
    return lang.mul(floating(x), 180.0 / math.pi)


@op()
def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x), and 1 at 0.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> sinc([0.0, 0.5]).tolist()
        [1.0, 0.636...]
    """
    x = lang.mul(floating(x), math.pi)
    zero = lang.eq(x, 0.0)
    safe = lang.select(zero, 1.0, x)
    # Near 0 it is 1 - x^2 / 6, which gives the right derivatives there.
    near = lang.sub(1.0, lang.div(lang.mul(x, x), 6.0))
    return lang.select(zero, near, lang.div(lang.sin(safe), safe))


@op()
def arctan2(x1: Any, x2: Any) -> Any:
    """Angle of the points (x2, x1), in [-pi, pi].

    Args:
        x1: tensor of ordinates.
        x2: tensor of abscissas that broadcasts with it.

    Returns:
        Floating tensor of angles in radians.

    Example:
        >>> arctan2([1.0], [0.0]).tolist()
        [1.57...]
    """
    return lang.atan2(*promote(x1, x2, force_float=True))


@op()
def hypot(x1: Any, x2: Any) -> Any:
    """sqrt(x1^2 + x2^2), without overflow.

    Args:
        x1: tensor.
        x2: tensor that broadcasts with it.

    Returns:
        Floating tensor of the broadcast shape.

    Example:
        >>> hypot([3.0], [4.0]).tolist()
        [5.0]
    """
    return _hypot(*promote(x1, x2, force_float=True))
