"""Piecewise activations: relu and its relatives, hard and shrinking functions."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.composite import composite
from kbackend.ops.define import op
from kbackend.ops.nn.arguments import floating, numeric

# ----- composites: one node on a tape, and room for one kernel -----


@composite("relu")
def relu_c(x: Any) -> Any:
    """The greater of x and 0; its derivative at 0 is 0."""
    return lang.maximum(x, 0)


@relu_c.def_vjp
def _relu_vjp(needs: Any, g: Any, result: Any, x: Any) -> Any:
    # The result is positive where x is, so it serves as well, and x need not be kept.
    return (relu_grad_c(g, result),)


@composite("relu_grad")
def relu_grad_c(g: Any, x: Any) -> Any:
    """Gradient of relu."""
    return lang.select(lang.lt(0, x), g, 0)


@composite("leaky_relu")
def leaky_relu_c(x: Any, *, negative_slope: float) -> Any:
    """x where it is not negative, `negative_slope * x` elsewhere."""
    return lang.select(lang.le(0, x), x, lang.mul(x, negative_slope))


@leaky_relu_c.def_vjp
def _leaky_relu_vjp(needs: Any, g: Any, result: Any, x: Any, *, negative_slope: float) -> Any:
    return (lang.select(lang.le(0, x), g, lang.mul(g, negative_slope)),)


@composite("elu")
def elu_c(x: Any, *, alpha: float, scale: float) -> Any:
    """`scale * x` where x is positive, `scale * alpha * (exp(x) - 1)` elsewhere."""
    positive = lang.lt(0, x)
    below = lang.mul(lang.expm1(lang.select(positive, 0.0, x)), scale * alpha)
    return lang.select(positive, x if scale == 1.0 else lang.mul(x, scale), below)


@elu_c.def_vjp
def _elu_vjp(needs: Any, g: Any, result: Any, x: Any, *, alpha: float, scale: float) -> Any:
    above = g if scale == 1.0 else lang.mul(g, scale)
    below = lang.mul(g, lang.add(result, scale * alpha))
    return (lang.select(lang.lt(0, x), above, below),)


@composite("relu6")
def relu6_c(x: Any) -> Any:
    """x clipped to between 0 and 6; its derivative at both ends is 0."""
    return lang.minimum(lang.maximum(x, 0.0), 6.0)


@relu6_c.def_vjp
def _relu6_vjp(needs: Any, g: Any, result: Any, x: Any) -> Any:
    inside = lang.bitwise_and(lang.lt(0.0, x), lang.lt(x, 6.0))
    return (lang.select(inside, g, 0.0),)


# ----- ops -----


@op()
def relu(x: Any) -> Any:
    """Rectified linear unit: `max(x, 0)`.

    Args:
        x: numeric tensor.

    Returns:
        A tensor of the shape and dtype of `x`.

    Example:
        >>> relu([-1.0, 0.0, 2.0]).tolist()
        [0.0, 0.0, 2.0]
    """
    return relu_c(numeric(x))


@op()
def relu6(x: Any) -> Any:
    """`min(max(x, 0), 6)`.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> relu6([-1.0, 2.0, 8.0]).tolist()
        [0.0, 2.0, 6.0]
    """
    return relu6_c(floating(x))


@op()
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """`x` where it is positive, `negative_slope * x` elsewhere.

    Args:
        x: numeric tensor.
        negative_slope: slope for negative values.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> leaky_relu([-1.0, 2.0], negative_slope=0.5).tolist()
        [-0.5, 2.0]
    """
    return leaky_relu_c(floating(x), negative_slope=float(negative_slope))


@op()
def elu(x: Any, alpha: float = 1.0) -> Any:
    """Exponential linear unit: `x` where positive, `alpha * (exp(x) - 1)` elsewhere.

    Args:
        x: numeric tensor.
        alpha: limit of the negative part, up to its sign.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> elu([-1.0, 2.0]).tolist()
        [-0.632, 2.0]

    Reference:
        D.-A. Clevert et al., "Fast and accurate deep network learning by ELUs", 2016.
    """
    return elu_c(floating(x), alpha=float(alpha), scale=1.0)


_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


@op()
def selu(x: Any) -> Any:
    """Scaled exponential linear unit, whose fixed point has mean 0 and variance 1.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> selu([-1.0, 1.0]).tolist()
        [-1.111, 1.051]

    Reference:
        G. Klambauer et al., "Self-normalizing neural networks", 2017.
    """
    return elu_c(floating(x), alpha=_SELU_ALPHA, scale=_SELU_SCALE)


@op()
def celu(x: Any, alpha: float = 1.0) -> Any:
    """Continuously differentiable ELU: `alpha * (exp(x / alpha) - 1)` where `x` is negative.

    Args:
        x: numeric tensor.
        alpha: limit of the negative part, up to its sign.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> celu([-1.0, 2.0]).tolist()
        [-0.632, 2.0]

    Reference:
        J. Barron, "Continuously differentiable exponential linear units", 2017.
    """
    x = floating(x)
    positive = lang.lt(0.0, x)
    below = lang.mul(lang.expm1(lang.div(lang.select(positive, 0.0, x), alpha)), alpha)
    return lang.select(positive, x, below)


@op()
def hard_sigmoid(x: Any) -> Any:
    """Piecewise linear sigmoid: `relu6(x + 3) / 6`.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> hard_sigmoid([-3.0, 0.0, 1.5]).tolist()
        [0.0, 0.5, 0.75]
    """
    return _hard_sigmoid(floating(x))


def _hard_sigmoid(x: Any) -> Any:
    return lang.div(relu6_c(lang.add(x, 3.0)), 6.0)


@op()
def hard_silu(x: Any) -> Any:
    """`x * hard_sigmoid(x)`, also called hard swish.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> hard_silu([-3.0, 0.0, 3.0]).tolist()
        [-0.0, 0.0, 3.0]

    Reference:
        A. Howard et al., "Searching for MobileNetV3", 2019.
    """
    x = floating(x)
    return lang.mul(x, _hard_sigmoid(x))


hard_swish = hard_silu


@op()
def hard_tanh(x: Any) -> Any:
    """`x` clipped to between -1 and 1.

    Args:
        x: numeric tensor.

    Returns:
        A tensor of the shape and dtype of `x`.

    Example:
        >>> hard_tanh([-2.0, 0.5, 3.0]).tolist()
        [-1.0, 0.5, 1.0]
    """
    x = numeric(x)
    x = lang.select(lang.lt(1, x), 1, x)
    return x if x.dtype.startswith("uint") else lang.select(lang.lt(x, -1), -1, x)


@op()
def tanh_shrink(x: Any) -> Any:
    """`x - tanh(x)`.

    Args:
        x: numeric tensor.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> tanh_shrink([0.0, 1.0]).tolist()
        [0.0, 0.238]
    """
    x = floating(x)
    return lang.sub(x, lang.tanh(x))


@op()
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """`x` moved towards 0 by `threshold`, and 0 within it.

    Args:
        x: numeric tensor.
        threshold: half-width of the interval that becomes 0.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> soft_shrink([-1.0, 0.3, 2.0]).tolist()
        [-0.5, 0.0, 1.5]
    """
    x = floating(x)
    below = lang.select(lang.lt(x, -threshold), lang.add(x, threshold), 0.0)
    return lang.select(lang.lt(threshold, x), lang.sub(x, threshold), below)


@op()
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """`x` where its magnitude exceeds `threshold`, 0 elsewhere.

    Args:
        x: numeric tensor.
        threshold: half-width of the interval that becomes 0.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> hard_shrink([-1.0, 0.3, 2.0]).tolist()
        [-1.0, 0.0, 2.0]
    """
    x = floating(x)
    return lang.select(lang.lt(threshold, lang.abs_(x)), x, 0.0)


@op(static=("threshold", "default_value"))
def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """`x` where it exceeds `threshold`, `default_value` elsewhere.

    Args:
        x: numeric tensor.
        threshold: greatest value that is replaced.
        default_value: what replaces it.

    Returns:
        A tensor of the shape of `x`.

    Example:
        >>> threshold([-1.0, 0.3, 2.0], 0.5, 9.0).tolist()
        [9.0, 9.0, 2.0]
    """
    x = floating(x)
    return lang.select(lang.lt(threshold, x), x, default_value)
