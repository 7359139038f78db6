"""Rules of the convolution family, which is closed under differentiation."""

from __future__ import annotations

from typing import Any

from kbackend.base.shapes import Dim, Shape, window_output
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.lang.contract import Ints, Pads
from kbackend.prim.common import require_same_dtype


def check_windows(
    ndim: int, window: Shape, strides: Ints, padding: Pads, dilation: Ints | None = None
) -> None:
    """Raises unless there is one positive window, stride and dilation, and one pair of padding, for
    each spatial dimension of a tensor with `ndim` dimensions."""
    space = ndim - 2
    if space < 1:
        raise ValueError(
            "Needs dimensions (batch, *space, channels) with at least one spatial dimension."
        )
    for name, values in (("window", window), ("strides", strides), ("dilation", dilation)):
        if values is None:
            continue
        if len(values) != space or any(v is not None and v < 1 for v in values):
            raise ValueError(
                f"'{name}' must hold {space} positive integers, one per spatial dimension. "
                f"Received: {name}={values}."
            )
    if len(padding) != space or any(len(pair) != 2 or min(pair) < 0 for pair in padding):
        raise ValueError(
            f"'padding' must hold {space} pairs (low, high) of non-negative integers. "
            f"Received: padding={padding}."
        )


def positions(space: Shape, window: Shape, strides: Ints, padding: Pads, dilation: Ints) -> Shape:
    """Number of window positions per spatial dimension."""
    return tuple(
        None if k is None else window_output(n, k, s, p, d)
        for n, k, s, p, d in zip(space, window, strides, padding, dilation, strict=True)
    )


def check_equal(name: str, received: Shape, expected: Shape) -> None:
    """Raises if known dimensions differ."""
    if len(received) != len(expected) or any(
        None not in (a, b) and a != b for a, b in zip(received, expected, strict=True)
    ):
        raise ValueError(f"The {name} must be {expected}. Received: {received}.")


def _check_groups(channels: Dim, inner: Dim, filters: Dim, groups: int) -> None:
    if groups < 1:
        raise ValueError(f"'groups' must be a positive integer. Received: groups={groups}.")
    if channels is not None and channels % groups:
        raise ValueError(
            f"The channels must be a multiple of 'groups'. Received: {channels} channels, "
            f"groups={groups}."
        )
    if filters is not None and filters % groups:
        raise ValueError(
            f"The filters must be a multiple of 'groups'. Received: {filters} filters, "
            f"groups={groups}."
        )
    if None not in (channels, inner) and channels != inner * groups:  # type: ignore[operator]
        raise ValueError(
            f"The filters must have {channels} / {groups} input channels, as the input has "
            f"{channels} channels in groups={groups}. Received: {inner}."
        )


def _check_ranks(x: Aval, y: Aval) -> None:
    if len(x.shape) != len(y.shape):
        raise ValueError("Both arguments must have the same number of dimensions.")


def _conv_shape(
    x: Aval, w: Aval, strides: Ints, padding: Pads, dilation: Ints, groups: int
) -> Aval:
    dtype = require_same_dtype(x, w)
    _check_ranks(x, w)
    window = w.shape[:-2]
    check_windows(len(x.shape), window, strides, padding, dilation)
    _check_groups(x.shape[-1], w.shape[-2], w.shape[-1], groups)
    out = positions(x.shape[1:-1], window, strides, padding, dilation)
    return Aval((x.shape[0], *out, w.shape[-1]), dtype)


def _input_grad_shape(
    g: Aval, w: Aval, space: Shape, strides: Ints, padding: Pads, dilation: Ints, groups: int
) -> Aval:
    dtype = require_same_dtype(g, w)
    _check_ranks(g, w)
    window = w.shape[:-2]
    check_windows(len(g.shape), window, strides, padding, dilation)
    check_equal("number of filters", g.shape[-1:], w.shape[-1:])
    _check_groups(None, w.shape[-2], w.shape[-1], groups)
    out = positions(space, window, strides, padding, dilation)
    check_equal("spatial dimensions of the cotangent", g.shape[1:-1], out)
    channels = None if w.shape[-2] is None else w.shape[-2] * groups
    return Aval((g.shape[0], *space, channels), dtype)


def _filter_grad_shape(
    x: Aval, g: Aval, window: Shape, strides: Ints, padding: Pads, dilation: Ints, groups: int
) -> Aval:
    dtype = require_same_dtype(x, g)
    _check_ranks(x, g)
    check_windows(len(x.shape), window, strides, padding, dilation)
    check_equal("batch size of the cotangent", g.shape[:1], x.shape[:1])
    _check_groups(x.shape[-1], None, g.shape[-1], groups)
    out = positions(x.shape[1:-1], window, strides, padding, dilation)
    check_equal("spatial dimensions of the cotangent", g.shape[1:-1], out)
    inner = None if x.shape[-1] is None else x.shape[-1] // groups
    return Aval((*window, inner, g.shape[-1]), dtype)


# ----- gradients: all three are linear in each of their arguments -----


def _conv_vjp_x(g: Any, result: Any, x: Any, w: Any, **how: Any) -> Any:
    return lang.conv_input_grad(g, w, space=x.shape[1:-1], **how)


def _conv_vjp_w(g: Any, result: Any, x: Any, w: Any, **how: Any) -> Any:
    return lang.conv_filter_grad(x, g, window=w.shape[:-2], **how)


def _input_grad_vjp_g(h: Any, result: Any, g: Any, w: Any, space: Shape, **how: Any) -> Any:
    return lang.conv(h, w, **how)


def _input_grad_vjp_w(h: Any, result: Any, g: Any, w: Any, space: Shape, **how: Any) -> Any:
    return lang.conv_filter_grad(h, g, window=w.shape[:-2], **how)


def _filter_grad_vjp_x(h: Any, result: Any, x: Any, g: Any, window: Shape, **how: Any) -> Any:
    return lang.conv_input_grad(g, h, space=x.shape[1:-1], **how)


def _filter_grad_vjp_g(h: Any, result: Any, x: Any, g: Any, window: Shape, **how: Any) -> Any:
    return lang.conv(x, h, **how)


lang.conv_p.define(shape=_conv_shape, vjp=(_conv_vjp_x, _conv_vjp_w))
lang.conv_input_grad_p.define(shape=_input_grad_shape, vjp=(_input_grad_vjp_g, _input_grad_vjp_w))
lang.conv_filter_grad_p.define(
    shape=_filter_grad_shape, vjp=(_filter_grad_vjp_x, _filter_grad_vjp_g)
)
