"""Smooth activations: sigmoid, silu, softplus, gelu and the like."""

from __future__ import annotations

import math
from typing import Any

from kbackend.core import lang
from kbackend.core.composite import composite
from kbackend.ops.define import op
from kbackend.ops.nn.arguments import floating

_SQRT_HALF = math.sqrt(0.5)
_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
_INV_SQRT_2PI = 1 / math.sqrt(2 * math.pi)

# ----- composites -----


@composite("softplus")
def softplus_c(x: Any) -> Any:
    """log(1 + exp(x)) without overflow."""
    return lang.add(lang.maximum(x, 0.0), lang.log1p(lang.exp(lang.neg(lang.abs_(x)))))


@softplus_c.def_vjp
def _softplus_vjp(needs: Any, g: Any, result: Any, x: Any) -> Any:
    return (softplus_grad_c(g, x),)


@composite("softplus_grad")
def softplus_grad_c(g: Any, x: Any) -> Any:
    """Gradient of softplus."""
    return lang.mul(g, lang.sigmoid(x))


@composite("silu")
def silu_c(x: Any) -> Any:
    """x * sigmoid(x)"""
    return lang.mul(x, lang.sigmoid(x))


@silu_c.def_vjp
def _silu_vjp(needs: Any, g: Any, result: Any, x: Any) -> Any:
    return (silu_grad_c(g, result, x),)


@composite("silu_grad")
def silu_grad_c(g: Any, result: Any, x: Any) -> Any:
    """Gradient of silu."""
    s = lang.sigmoid(x)
    # d(x s)/dx = s + x s (1 - s), with x s the result
    return lang.mul(g, lang.add(s, lang.mul(result, lang.sub(1.0, s))))


def _cdf(x: Any) -> Any:
    """The normal distribution function."""
    return lang.mul(lang.add(lang.erf(lang.mul(x, _SQRT_HALF)), 1.0), 0.5)


def _tanh_of(x: Any) -> tuple[Any, Any]:
    """tanh(sqrt(2/pi) (x + 0.044715 x^3)) and x^2."""
    square = lang.mul(x, x)
    cubic = lang.mul(x, lang.add(lang.mul(square, 0.044715 * _SQRT_2_OVER_PI), _SQRT_2_OVER_PI))
    return lang.tanh(cubic), square


@composite("gelu")
def gelu_c(x: Any, *, approximate: bool) -> Any:
    """x times the normal distribution function of x, or its approximation by tanh."""
    if not approximate:
        return lang.mul(x, _cdf(x))
    t, _ = _tanh_of(x)
    return lang.mul(lang.mul(x, 0.5), lang.add(t, 1.0))


@gelu_c.def_vjp
def _gelu_vjp(needs: Any, g: Any, result: Any, x: Any, *, approximate: bool) -> Any:
    return (gelu_grad_c(g, result, x, approximate=approximate),)


@composite("gelu_grad")
def gelu_grad_c(g: Any, result: Any, x: Any, *, approximate: bool) -> Any:
    """Gradient of gelu."""
    if not approximate:
        density = lang.mul(lang.exp(lang.mul(lang.mul(x, x), -0.5)), _INV_SQRT_2PI)
        return lang.mul(g, lang.add(_cdf(x), lang.mul(x, density)))
    t, square = _tanh_of(x)
    inner = lang.add(lang.mul(square, 3 * 0.044715 * _SQRT_2_OVER_PI), _SQRT_2_OVER_PI)
    # The result is 0.5 x (1 + t), so that x (1 - t^2) / 2 is the result times (1 - t).
    slope = lang.mul(lang.mul(result, lang.sub(1.0, t)), inner)
    return lang.mul(g, lang.add(lang.mul(lang.add(t, 1.0), 0.5), slope))


# ----- ops -----


@op()
def sigmoid(x: Any) -> Any:
    """`1 / (1 + exp(-x))`.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> sigmoid([0.0, 2.0]).tolist()
        [0.5, 0.881]
    """
    return lang.sigmoid(floating(x))


@op()
def log_sigmoid(x: Any) -> Any:
    """Logarithm of the sigmoid, without overflow.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> log_sigmoid([0.0, -100.0]).tolist()
        [-0.693, -100.0]
    """
    return lang.neg(softplus_c(lang.neg(floating(x))))


@op()
def softplus(x: Any) -> Any:
    """`log(1 + exp(x))`, without overflow.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> softplus([0.0, 100.0]).tolist()
        [0.693, 100.0]
    """
    return softplus_c(floating(x))


@op()
def silu(x: Any) -> Any:
    """`x * sigmoid(x)`, also called swish.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> silu([0.0, 1.0]).tolist()
        [0.0, 0.731]
    """
    return silu_c(floating(x))


swish = silu


@op()
def softsign(x: Any) -> Any:
    """`x / (1 + |x|)`.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> softsign([-1.0, 3.0]).tolist()
        [-0.5, 0.75]
    """
    x = floating(x)
    return lang.div(x, lang.add(lang.abs_(x), 1.0))


@op()
def gelu(x: Any, approximate: bool = True) -> Any:
    """Gaussian error linear unit: `x` times the normal distribution function of `x`.

    Args:
        x: numeric tensor.
        approximate: whether to use the approximation by tanh.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> gelu([-1.0, 1.0], approximate=False).tolist()
        [-0.159, 0.841]

    Reference:
        D. Hendrycks, K. Gimpel, "Gaussian error linear units", 2016.
    """
    return gelu_c(floating(x), approximate=bool(approximate))


@op()
def squareplus(x: Any, b: float = 4) -> Any:
    """`(x + sqrt(x^2 + b)) / 2`, a smooth rectifier.

    Args:
        x: numeric tensor.
        b: smoothness.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> squareplus([0.0, 1.5]).tolist()
        [1.0, 2.0]
    """
    x = floating(x)
    return lang.div(lang.add(x, lang.sqrt(lang.add(lang.mul(x, x), b))), 2)


@op()
def sparse_plus(x: Any) -> Any:
    """0 up to -1, `(x + 1)^2 / 4` up to 1, and `x` above.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> sparse_plus([-2.0, 0.0, 2.0]).tolist()
        [0.0, 0.25, 2.0]
    """
    x = floating(x)
    raised = lang.add(x, 1.0)
    middle = lang.select(lang.lt(x, 1.0), lang.mul(lang.mul(raised, raised), 0.25), x)
    return lang.select(lang.le(x, -1.0), 0.0, middle)


@op()
def sparse_sigmoid(x: Any) -> Any:
    """0 up to -1, `(x + 1) / 2` up to 1, and 1 above.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> sparse_sigmoid([-2.0, 0.0, 2.0]).tolist()
        [0.0, 0.5, 1.0]
    """
    x = floating(x)
    return lang.mul(lang.add(lang.minimum(lang.maximum(x, -1.0), 1.0), 1.0), 0.5)
