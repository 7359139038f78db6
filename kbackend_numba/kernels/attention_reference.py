"""The gradient of attention by NumPy, for what the compiled kernel doesn't take: bias and cap."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend_numba.kernels.attention_parts import FLOOR

Array = Any


def attention_gradient(
    g: Array,
    query: Array,
    key: Array,
    value: Array,
    *extra: Array,
    scale: float,
    is_causal: bool,
    soft_cap: float | None,
    biased: bool,
    masked: bool,
) -> tuple[Array, ...]:
    """Gradients in query, key and value, and in the bias if there is one."""
    # Dimensions are images, heads, rows and elements from here on.
    g, q, k, v = (x.swapaxes(1, 2) for x in (g, query, key, value))
    logits = scale * (q @ k.swapaxes(2, 3))
    slope: Any = scale
    if soft_cap is not None:
        capped = np.tanh(logits / soft_cap)
        logits, slope = capped * soft_cap, scale * (1 - capped * capped)
    if biased:
        logits = logits + extra[0]
    seen = np.ones(logits.shape[2:], np.bool_)
    if is_causal:
        seen = np.tril(seen)
    if masked:
        seen = seen & extra[-1]
    logits = np.where(seen, logits, np.asarray(FLOOR[logits.dtype.name], logits.dtype))
    weights = np.exp(logits - logits.max(3, keepdims=True))
    weights /= weights.sum(3, keepdims=True)
    pulled = g @ v.swapaxes(2, 3)
    pulled = weights * (pulled - (pulled * weights).sum(3, keepdims=True))
    pulled = np.where(seen, pulled, np.zeros((), pulled.dtype))
    through = pulled * slope
    found = (through @ k, through.swapaxes(2, 3) @ q, weights.swapaxes(2, 3) @ g)
    grads = tuple([np.ascontiguousarray(x.swapaxes(1, 2), dtype=query.dtype) for x in found])
    return (*grads, _summed_to(pulled, extra[0])) if biased else grads


def _summed_to(x: Array, like: Array) -> Array:
    """The sum over what was repeated to make the shape of `x` of that of `like`."""
    x = x.sum(tuple(range(x.ndim - like.ndim)))
    axes = tuple([i for i, size in enumerate(like.shape) if size == 1 and x.shape[i] != 1])
    return x.sum(axes, keepdims=True).astype(like.dtype)
