"""Pooling over windows, and adaptive pooling to a given size."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from kbackend.base import shapes
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.nn.arguments import (
    channels_first,
    floating,
    padding_name,
    per_dimension,
    to_first,
    to_last,
)

Ints = tuple[int, ...]


def _windows(
    x: Any, pool_size: Any, strides: Any, padding: Any, name: str
) -> tuple[Ints, Ints, tuple[tuple[int, int], ...]]:
    """Window, strides and padding for x with channels last."""
    if pool_size.__class__ is list:
        pool_size = tuple(pool_size)
    if strides.__class__ is list:
        strides = tuple(strides)
    return _geometry(tuple(x.shape[1:-1]), pool_size, strides, padding, name)


@lru_cache(maxsize=512)
def _geometry(
    space: Any, pool_size: Any, strides: Any, padding: Any, name: str
) -> tuple[Ints, Ints, tuple[tuple[int, int], ...]]:
    n = len(space)
    window = per_dimension(pool_size, n, "pool_size", name)
    steps = window if strides is None else per_dimension(strides, n, "strides", name)
    kind = padding_name(padding, name)
    return window, steps, shapes.window_padding(kind, space, window, steps, (1,) * n)


def _check_rank(x: Any, name: str) -> None:
    if len(x.shape) < 3:
        raise ValueError(
            f"[{name}] 'inputs' must have a batch, spatial and channel dimensions. "
            f"Received: inputs.shape={tuple(x.shape)}."
        )


@op(static=("pool_size",))
def max_pool(
    inputs: Any,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """Greatest element of each window.

    Args:
        inputs: tensor `(batch, *space, channels)`, or `(batch, channels, *space)`.
        pool_size: int or one per spatial dimension.
        strides: int or one per spatial dimension; `pool_size` by default.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A tensor of the dtype of `inputs`, with fewer positions.

    Raises:
        ValueError: shapes or settings do not fit.

    Example:
        >>> max_pool(np.array([[[1.0], [3.0], [2.0], [0.0]]]), 2).tolist()
        [[[3.0], [2.0]]]
    """
    x = to_tensor(inputs)
    _check_rank(x, "max_pool")
    first = channels_first(data_format, "max_pool")
    if first:
        x = to_last(x)
    out = lang.window_max(x, *_windows(x, pool_size, strides, padding, "max_pool"))
    return to_first(out) if first else out


@op(static=("pool_size",))
def average_pool(
    inputs: Any,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """Mean of each window, in which padding does not count.

    Args:
        inputs: tensor `(batch, *space, channels)`, or `(batch, channels, *space)`.
        pool_size: int or one per spatial dimension.
        strides: int or one per spatial dimension; `pool_size` by default.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A floating tensor with fewer positions.

    Raises:
        ValueError: shapes or settings do not fit.

    Example:
        >>> average_pool(np.array([[[1.0], [3.0], [2.0]]]), 2, padding="same").tolist()
        [[[2.0], [2.0]]]
    """
    x = floating(inputs)
    _check_rank(x, "average_pool")
    first = channels_first(data_format, "average_pool")
    if first:
        x = to_last(x)
    window, steps, pads = _windows(x, pool_size, strides, padding, "average_pool")
    total = lang.window_sum(x, window, steps, pads)
    if any(map(any, pads)):
        ones = lang.full((1, *x.shape[1:-1], 1), 1, x.dtype)
        out = lang.div(total, lang.window_sum(ones, window, steps, pads))
    else:
        out = lang.div(total, prod(window))
    return to_first(out) if first else out


# ----- adaptive: window i of n covers the elements from i/n to (i + 1)/n of the length -----


@lru_cache(maxsize=256)
def _bounds(size: int, count: int) -> tuple[tuple[int, int], ...]:
    return tuple((i * size // count, -(-(i + 1) * size // count)) for i in range(count))


def _adaptive(inputs: Any, output_size: Any, data_format: Any, name: str, pool: Any) -> Any:
    """`pool(x, axis, count)` along each spatial dimension of the inputs."""
    x = to_tensor(inputs) if pool is _max_along else floating(inputs)
    _check_rank(x, name)
    first = channels_first(data_format, name)
    space = tuple(range(2, len(x.shape))) if first else tuple(range(1, len(x.shape) - 1))
    counts = per_dimension(output_size, len(space), "output_size", name)
    for axis, count in zip(space, counts, strict=True):
        size = x.shape[axis]
        if size is None:
            raise ValueError(
                f"[{name}] the spatial dimensions must be known. "
                f"Received: inputs.shape={tuple(x.shape)}."
            )
        if size != count:
            x = pool(x, axis, count)
    return x


def _split(x: Any, axis: int, count: int) -> Any:
    """Dimension `axis` as `(count, size / count)`."""
    shape = tuple(x.shape)
    return lang.reshape(x, (*shape[:axis], count, shape[axis] // count, *shape[axis + 1 :]))


def _mean_along(x: Any, axis: int, count: int) -> Any:
    size = x.shape[axis]
    if size % count == 0:
        total = lang.reduce_sum(_split(x, axis, count), (axis + 1,))
        return lang.div(total, size // count)
    weights = np.zeros((size, count), "float32")
    for i, (start, stop) in enumerate(_bounds(size, count)):
        weights[start:stop, i] = 1 / (stop - start)
    out = lang.dot(x, to_tensor(weights, x.dtype), ((axis,), (0,)))
    n = len(x.shape)
    return lang.transpose(out, (*range(axis), n - 1, *range(axis, n - 1)))


def _max_along(x: Any, axis: int, count: int) -> Any:
    size = x.shape[axis]
    if size % count == 0:
        return lang.reduce_max(_split(x, axis, count), (axis + 1,))
    bounds = _bounds(size, count)
    width = max(stop - start for start, stop in bounds)
    # Shorter windows repeat their last element.
    places = np.array([[min(a + j, b - 1) for j in range(width)] for a, b in bounds], "int32")
    out = lang.reduce_max(lang.gather(x, (to_tensor(places),), (axis,)), (1,))
    return lang.transpose(out, (*range(1, axis + 1), 0, *range(axis + 1, len(x.shape))))


@op(static=("output_size",))
def adaptive_average_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Any:
    """Mean pooling to a given number of positions, with windows of nearly equal size.

    Args:
        inputs: tensor `(batch, *space, channels)`, or `(batch, channels, *space)`.
        output_size: int or one per spatial dimension.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A floating tensor with `output_size` positions.

    Raises:
        ValueError: shapes or settings do not fit.

    Example:
        >>> adaptive_average_pool(np.array([[[1.0], [3.0], [5.0]]]), 2).tolist()
        [[[2.0], [4.0]]]
    """
    return _adaptive(inputs, output_size, data_format, "adaptive_average_pool", _mean_along)


@op(static=("output_size",))
def adaptive_max_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Any:
    """Max pooling to a given number of positions, with windows of nearly equal size.

    Args:
        inputs: tensor `(batch, *space, channels)`, or `(batch, channels, *space)`.
        output_size: int or one per spatial dimension.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A tensor of the dtype of `inputs` with `output_size` positions.

    Raises:
        ValueError: shapes or settings do not fit.

    Example:
        >>> adaptive_max_pool(np.array([[[1.0], [3.0], [5.0]]]), 2).tolist()
        [[[3.0], [5.0]]]
    """
    return _adaptive(inputs, output_size, data_format, "adaptive_max_pool", _max_along)
