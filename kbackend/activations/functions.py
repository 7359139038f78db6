"""Activations whose signatures differ from those of the ops of the same name."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.ops import nn
from kbackend.ops.define import op
from kbackend.ops.nn.activation import softplus_c
from kbackend.ops.nn.arguments import floating
from kbackend.ops.numpy.exponential import exp


@op()
def bounded_relu(
    x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Any:
    """`relu` with another slope, bound or threshold."""
    x = floating(x)
    kept = x if max_value is None else lang.minimum(x, float(max_value))
    below: Any = 0.0
    if negative_slope:
        below = lang.mul(lang.sub(x, float(threshold)), float(negative_slope))
    # Asked this way round, NaN counts as above and stays.
    return lang.select(lang.le(x, float(threshold)), below, kept)


def relu(
    x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Any:
    """Rectifier: x where it is above the threshold.

    Args:
        x: tensor.
        negative_slope: slope below the threshold, where the result is
            `negative_slope * (x - threshold)`.
        max_value: greatest result, unbounded by default.
        threshold: where the rectifier starts.

    Returns:
        A tensor of the shape of `x`.

    Example:
        >>> relu([-1.0, 2.0, 9.0], max_value=6.0).tolist()
        [0.0, 2.0, 6.0]
    """
    if negative_slope == 0.0 and max_value is None and threshold == 0.0:
        return nn.relu(x)
    return bounded_relu(x, negative_slope=negative_slope, max_value=max_value, threshold=threshold)


def gelu(x: Any, approximate: bool = False) -> Any:
    """Gaussian error linear unit: x times the normal distribution function of x.

    Args:
        x: tensor.
        approximate: whether to approximate it by a hyperbolic tangent.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> gelu([-1.0, 1.0]).tolist()
        [-0.159, 0.841]

    Reference:
        D. Hendrycks, K. Gimpel, "Gaussian error linear units", 2016.
    """
    return nn.gelu(x, approximate=approximate)


def exponential(x: Any) -> Any:
    """e to the power x.

    Args:
        x: tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> exponential([0.0, 1.0]).tolist()
        [1.0, 2.718]
    """
    return exp(x)


@op()
def mish(x: Any) -> Any:
    """`x * tanh(softplus(x))`.

    Args:
        x: tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> mish([-1.0, 0.0, 1.0]).tolist()
        [-0.303, 0.0, 0.865]

    Reference:
        D. Misra, "Mish: a self regularized non-monotonic activation function", BMVC 2020.
    """
    x = floating(x)
    return lang.mul(x, lang.tanh(softplus_c(x)))


def linear(x: Any) -> Any:
    """x itself.

    Args:
        x: anything.

    Returns:
        The same.

    Example:
        >>> linear(3.0)
        3.0
    """
    return x
