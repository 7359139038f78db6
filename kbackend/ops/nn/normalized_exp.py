"""Activations along an axis: softmax, its logarithm, sparsemax and the gated linear unit."""

from __future__ import annotations

import warnings
from typing import Any

from kbackend.base import shapes
from kbackend.core import lang
from kbackend.core.composite import composite
from kbackend.ops.define import op
from kbackend.ops.nn.arguments import axes_of, floating

Ints = tuple[int, ...]


@composite("softmax")
def softmax_c(x: Any, *, axes: Ints) -> Any:
    """exp(x), scaled to sum to 1 over `axes`."""
    e = lang.exp(lang.sub(x, lang.reduce_max(x, axes, True)))
    return lang.div(e, lang.reduce_sum(e, axes, True))


@softmax_c.def_vjp
def _softmax_vjp(needs: Any, g: Any, result: Any, x: Any, *, axes: Ints) -> Any:
    return (softmax_grad_c(g, result, axes=axes),)


@composite("softmax_grad")
def softmax_grad_c(g: Any, result: Any, *, axes: Ints) -> Any:
    """Gradient of softmax, by its result."""
    weighted = lang.mul(g, result)
    return lang.sub(weighted, lang.mul(result, lang.reduce_sum(weighted, axes, True)))


@composite("log_softmax")
def log_softmax_c(x: Any, *, axes: Ints) -> Any:
    """Logarithm of the softmax over `axes`."""
    shifted = lang.sub(x, lang.reduce_max(x, axes, True))
    return lang.sub(shifted, lang.log(lang.reduce_sum(lang.exp(shifted), axes, True)))


@log_softmax_c.def_vjp
def _log_softmax_vjp(needs: Any, g: Any, result: Any, x: Any, *, axes: Ints) -> Any:
    return (log_softmax_grad_c(g, result, axes=axes),)


@composite("log_softmax_grad")
def log_softmax_grad_c(g: Any, result: Any, *, axes: Ints) -> Any:
    """Gradient of log_softmax, by its result."""
    return lang.sub(g, lang.mul(lang.exp(result), lang.reduce_sum(g, axes, True)))


@op()
def softmax(x: Any, axis: Any = -1) -> Any:
    """`exp(x)`, scaled to sum to 1 along `axis`.

    Args:
        x: numeric tensor.
        axis: integer, or tuple of them to normalise over together; `None` means all.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> softmax([[0.0, 0.0], [1.0, 3.0]]).tolist()
        [[0.5, 0.5], [0.119, 0.881]]
    """
    x = floating(x)
    axes = axes_of(axis, x)
    if len(axes) == 1 and x.shape[axes[0]] == 1:
        warnings.warn(
            f"[softmax] the dimension {axis} of a tensor of shape {tuple(x.shape)} has size 1, so "
            "that the result is 1 everywhere. Did you mean sigmoid?",
            stacklevel=3,
        )
    return softmax_c(x, axes=axes)


@op()
def log_softmax(x: Any, axis: Any = -1) -> Any:
    """Logarithm of the softmax along `axis`, exact where the softmax underflows.

    Args:
        x: numeric tensor.
        axis: integer, or tuple of them to normalise over together; `None` means all.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> log_softmax([0.0, 200.0]).tolist()
        [-200.0, 0.0]
    """
    x = floating(x)
    return log_softmax_c(x, axes=axes_of(axis, x))


@op()
def sparsemax(x: Any, axis: int = -1) -> Any:
    """The point of the probability simplex nearest to `x` along `axis`, often with zeros.

    Args:
        x: numeric tensor.
        axis: integer.

    Returns:
        A floating tensor of the shape of `x`.

    Example:
        >>> sparsemax([0.0, 1.0, 1.5]).tolist()
        [0.0, 0.25, 0.75]

    Reference:
        A. Martins, R. Astudillo, "From softmax to sparsemax", 2016.
    """
    x = floating(x)
    at = shapes.canonical_axis(axis, len(x.shape))
    descending = lang.rev(lang.sort(x, at), (at,))
    shape = (1,) * at + (x.shape[at],) + (1,) * (len(x.shape) - at - 1)
    rank = lang.add(lang.iota(shape, at, x.dtype), 1)
    sums = lang.cumsum(descending, at)
    support = lang.lt(sums, lang.add(lang.mul(rank, descending), 1))
    size = lang.reduce_sum(lang.cast(support, x.dtype), (at,), True)
    total = lang.reduce_sum(lang.select(support, descending, 0), (at,), True)
    threshold = lang.div(lang.sub(total, 1), size)
    out = lang.sub(x, threshold)
    return lang.select(lang.lt(0, out), out, 0)


@op()
def glu(x: Any, axis: int = -1) -> Any:
    """Gated linear unit: the first half of `x` times the sigmoid of the second half.

    Args:
        x: numeric tensor with an even dimension `axis`.
        axis: integer, the dimension to halve.

    Returns:
        A floating tensor of the shape of `x` but with half the dimension `axis`.

    Raises:
        ValueError: the dimension is odd.

    Example:
        >>> glu([1.0, 2.0, 0.0, 0.0]).tolist()
        [0.5, 1.0]

    Reference:
        Y. Dauphin et al., "Language modeling with gated convolutional networks", 2017.
    """
    x = floating(x)
    at = shapes.canonical_axis(axis, len(x.shape))
    size = x.shape[at]
    if size is None or size % 2:
        raise ValueError(
            f"[glu] the dimension {axis} must be known and even. Received: shape={tuple(x.shape)}."
        )
    half = size // 2
    start, stop = [0] * len(x.shape), list(x.shape)
    stop[at] = half
    first = lang.slice_(x, tuple(start), tuple(stop))
    start[at], stop[at] = half, size
    return lang.mul(first, lang.sigmoid(lang.slice_(x, tuple(start), tuple(stop))))
