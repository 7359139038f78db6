"""Contraction, convolution and windows: primitives and binders."""

from __future__ import annotations

from typing import Any

from kbackend.core.bind import bind
from kbackend.core.primitive import family

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]

# ----- contraction -----

(dot_p,) = family("contract", "dot")


def dot(x: Any, y: Any, contract: tuple[Ints, Ints], batch: tuple[Ints, Ints] = ((), ())) -> Any:
    """Sum of products over the paired axes `contract`, for each index of the paired axes `batch`.

    The result's dimensions: batch, then x's others, then y's others. float16 and bfloat16
    accumulate in float32.
    """
    return bind(dot_p, x, y, contract=contract, batch=batch)


# ----- convolution, channels last -----

conv_p, conv_input_grad_p, conv_filter_grad_p = family(
    "conv", "conv", "conv_input_grad", "conv_filter_grad"
)


def conv(x: Any, w: Any, strides: Ints, padding: Pads, dilation: Ints, groups: int = 1) -> Any:
    """Cross-correlation: `(batch, *space, channels)` by `(*window, channels/groups, filters)`."""
    return bind(conv_p, x, w, strides=strides, padding=padding, dilation=dilation, groups=groups)


def conv_input_grad(
    g: Any, w: Any, space: Ints, strides: Ints, padding: Pads, dilation: Ints, groups: int = 1
) -> Any:
    """Transpose of `conv` in x: from g `(batch, *out, filters)` to `(batch, *space, channels)`."""
    return bind(
        conv_input_grad_p, g, w, space=space, strides=strides, padding=padding,
        dilation=dilation, groups=groups,
    )  # fmt: skip


def conv_filter_grad(
    x: Any, g: Any, window: Ints, strides: Ints, padding: Pads, dilation: Ints, groups: int = 1
) -> Any:
    """Transpose of `conv` in w: from x and g to `(*window, channels/groups, filters)`."""
    return bind(
        conv_filter_grad_p, x, g, window=window, strides=strides, padding=padding,
        dilation=dilation, groups=groups,
    )  # fmt: skip


# ----- windows, channels last: x is (batch, *space, channels) -----

window_max_p, window_pick_p, window_unpick_p, window_sum_p, window_spread_p = family(
    "window", "window_max", "window_pick", "window_unpick", "window_sum", "window_spread"
)


def window_max(x: Any, window: Ints, strides: Ints, padding: Pads) -> Any:
    """Greatest element of each window; padding never wins."""
    return bind(window_max_p, x, window=window, strides=strides, padding=padding)


def window_pick(x: Any, t: Any, window: Ints, strides: Ints, padding: Pads) -> Any:
    """The element of t (shaped like x) at the place of each window's first maximum of x."""
    return bind(window_pick_p, x, t, window=window, strides=strides, padding=padding)


def window_unpick(x: Any, g: Any, window: Ints, strides: Ints, padding: Pads) -> Any:
    """Transpose of `window_pick` in t: g added at the place of each window's first maximum of x."""
    return bind(window_unpick_p, x, g, window=window, strides=strides, padding=padding)


def window_sum(x: Any, window: Ints, strides: Ints, padding: Pads) -> Any:
    """Sum of each window; padding counts as zero."""
    return bind(window_sum_p, x, window=window, strides=strides, padding=padding)


def window_spread(g: Any, space: Ints, window: Ints, strides: Ints, padding: Pads) -> Any:
    """Transpose of `window_sum`: each element of g added to all places of its window."""
    return bind(window_spread_p, g, space=space, window=window, strides=strides, padding=padding)
