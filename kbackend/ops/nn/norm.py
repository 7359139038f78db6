"""Moments and normalisations."""

from __future__ import annotations

from typing import Any

from kbackend.base import config, shapes
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.nn.arguments import LOW_PRECISION, axes_of, floating
from kbackend.ops.nn.normalizing import (
    batch_normalization_c,
    moments_c,
    rms_normalization_c,
    standardize_c,
)

# ----- moments -----


@op(static=("axes",))
def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> Any:
    """Mean and variance of `x` over `axes`.

    Args:
        x: numeric tensor. Half precision is computed in float32.
        axes: integer or tuple of them; `None` means all.
        keepdims: whether the reduced dimensions stay with size 1.
        synchronized: accepted for compatibility; the moments are those of this process.

    Returns:
        Two floating tensors.

    Example:
        >>> mean, variance = moments([[1.0, 2.0], [3.0, 6.0]], axes=0)
        >>> mean.tolist(), variance.tolist()
        ([2.0, 4.0], [1.0, 4.0])
    """
    x = floating(x)
    dtype = x.dtype
    found = axes_of(axes, x)
    if dtype in LOW_PRECISION:
        x = lang.cast(x, "float32")
    mean, variance = moments_c(x, axes=found)
    if not keepdims:
        shape = shapes.reduced(tuple(x.shape), found, False)
        mean, variance = lang.reshape(mean, shape), lang.reshape(variance, shape)
    return lang.cast(mean, dtype), lang.cast(variance, dtype)


# ----- batch normalisation -----


@op(static=("axis",), tensors=("mean", "variance", "offset", "scale"))
def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    axis: int,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 1e-3,
) -> Any:
    """`(x - mean) / sqrt(variance + epsilon) * scale + offset`, by position along `axis`.

    Args:
        x: numeric tensor.
        mean: vector with one mean per position along `axis`.
        variance: vector of variances.
        axis: the dimension that keeps its own statistics, usually the channels.
        offset: `None`, or vector to add.
        scale: `None`, or vector to multiply by.
        epsilon: what is added to the variance.

    Returns:
        A floating tensor of the shape of `x`.

    Raises:
        ValueError: a vector has the wrong length.

    Example:
        >>> batch_normalization([[2.0, 5.0]], [1.0, 1.0], [1.0, 4.0], -1, epsilon=0.0).tolist()
        [[1.0, 2.0]]

    Reference:
        S. Ioffe, C. Szegedy, "Batch normalization", 2015.
    """
    x = floating(x)
    ndim = len(x.shape)
    at = shapes.canonical_axis(axis, ndim)
    shape = (1,) * at + (x.shape[at],) + (1,) * (ndim - at - 1)
    rows = [_row(value, shape, x.dtype, "batch_normalization") for value in (mean, variance)]
    rows += [
        _row(value, shape, x.dtype, "batch_normalization")
        for value in (scale, offset)
        if value is not None
    ]
    joint = rows[0].dtype
    return batch_normalization_c(
        lang.cast(x, joint) if x.dtype != joint else x,
        *rows,
        epsilon=float(epsilon),
        scaled=scale is not None,
        centred=offset is not None,
    )


def _row(value: Any, shape: Any, dtype: str, name: str) -> Any:
    """A parameter as a tensor of `dtype` that broadcasts along all dimensions but its own."""
    value = lang.cast(to_tensor(value), dtype)
    size, wanted = shapes.size_of(tuple(value.shape)), shapes.size_of(shape)
    if size is not None and wanted is not None and size not in (1, wanted):
        raise ValueError(
            f"[{name}] a parameter must have one element per normalised position: {wanted} for "
            f"the shape {tuple(d for d in shape if d != 1)}. Received: shape={tuple(value.shape)}."
        )
    return lang.reshape(value, (1,) * len(shape) if size == 1 else shape)


# ----- layer normalisation -----


@op(tensors=("gamma", "beta"))
def layer_normalization(
    x: Any,
    gamma: Any = None,
    beta: Any = None,
    axis: Any = -1,
    epsilon: float | None = None,
    **kwargs: Any,
) -> Any:
    """`x` with mean 0 and variance 1 over `axis`, times `gamma`, plus `beta`.

    Args:
        x: numeric tensor. Half precision is computed in float32.
        gamma: `None`, or a scale of the shape of the normalised dimensions.
        beta: `None`, or an offset of that shape.
        axis: integer or tuple of them.
        epsilon: what is added to the variance; the configured epsilon by default.
        **kwargs: `rms_scaling`, as older code has it; use `rms_normalization` instead.

    Returns:
        A floating tensor of the shape of `x`.

    Raises:
        ValueError: `gamma` or `beta` does not fit, or an argument is unknown.

    Example:
        >>> layer_normalization([[1.0, 3.0]], epsilon=0.0).tolist()
        [[-1.0, 1.0]]

    Reference:
        J. L. Ba et al., "Layer normalization", 2016.
    """
    rms_scaling = kwargs.pop("rms_scaling", False)
    if kwargs:
        raise ValueError(
            f"[layer_normalization] there is no argument {', '.join(map(repr, kwargs))}."
        )
    epsilon = config.epsilon() if epsilon is None else float(epsilon)
    if rms_scaling:
        # As Keras has it: x is not centred, but divided by its standard deviation all the same.
        x, axes, dtype, affine = _prepare(x, (gamma,), axis, "layer_normalization")
        y = lang.mul(x, lang.rsqrt(lang.add(moments_c(x, axes=axes)[1], epsilon)))
        return lang.cast(lang.mul(y, affine[0]) if affine else y, dtype)
    x, axes, dtype, affine = _prepare(x, (gamma, beta), axis, "layer_normalization")
    y = standardize_c(
        x,
        *affine,
        axes=axes,
        epsilon=epsilon,
        scaled=gamma is not None,
        centred=beta is not None,
    )[0]
    return lang.cast(y, dtype)


def _prepare(x: Any, parameters: tuple[Any, ...], axis: Any, name: str) -> Any:
    """x in at least float32, its axes, its dtype, and the parameters in broadcasting shape."""
    x = floating(x)
    dtype = x.dtype
    axes = axes_of(axis, x)
    if dtype in LOW_PRECISION:
        x = lang.cast(x, "float32")
    shape = tuple(d if i in axes else 1 for i, d in enumerate(x.shape))
    return x, axes, dtype, [_row(p, shape, x.dtype, name) for p in parameters if p is not None]


@op(tensors=("scale",))
def rms_normalization(
    x: Any, scale: Any = None, axis: Any = -1, epsilon: float | None = None
) -> Any:
    """`x` divided by its root mean square over `axis`, times `scale`.

    Args:
        x: numeric tensor. Half precision is computed in float32.
        scale: `None`, a number, or a tensor of the shape of the normalised dimensions.
        axis: integer or tuple of them.
        epsilon: what is added to the mean square; the configured epsilon by default.

    Returns:
        A floating tensor of the shape of `x`.

    Raises:
        ValueError: `scale` does not fit.

    Example:
        >>> rms_normalization([[3.0, 3.0]], epsilon=0.0).tolist()
        [[1.0, 1.0]]

    Reference:
        B. Zhang, R. Sennrich, "Root mean square layer normalization", 2019.
    """
    x, axes, dtype, scales = _prepare(x, (scale,), axis, "rms_normalization")
    y = rms_normalization_c(
        x, *scales, axes=axes, epsilon=config.epsilon() if epsilon is None else float(epsilon)
    )[0]
    return lang.cast(y, dtype)


# ----- to length one -----


@op()
def normalize(x: Any, axis: Any = -1, order: int = 2, epsilon: float | None = None) -> Any:
    """`x` divided by its norm along `axis`.

    Args:
        x: numeric tensor.
        axis: integer or tuple of them; `None` means all.
        order: integer of at least 1, the order of the norm.
        epsilon: least norm to divide by; the configured epsilon by default.

    Returns:
        A floating tensor of the shape of `x`.

    Raises:
        ValueError: `order` is not a positive integer.

    Example:
        >>> normalize([[3.0, 4.0]]).tolist()
        [[0.6, 0.8]]
    """
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"[normalize] 'order' must be an integer >= 1. Received: order={order}.")
    x = floating(x)
    least = config.epsilon() if epsilon is None else float(epsilon)
    axes = axes_of(axis, x)
    if order == 2:
        squares = lang.reduce_sum(lang.mul(x, x), axes, True)
        return lang.mul(x, lang.minimum(lang.rsqrt(squares), 1 / least if least else float("inf")))
    magnitude = lang.abs_(x)
    if order == 1:
        size = lang.reduce_sum(magnitude, axes, True)
    else:
        powers = lang.pow_(magnitude, float(order))
        size = lang.pow_(lang.reduce_sum(powers, axes, True), 1 / order)
    return lang.div(x, lang.maximum(size, least))
