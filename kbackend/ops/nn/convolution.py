"""Convolutions, in any number of spatial dimensions."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from kbackend.base import shapes
from kbackend.core import lang
from kbackend.core.operators import promote
from kbackend.ops.define import op
from kbackend.ops.nn.arguments import (
    channels_first,
    padding_name,
    per_dimension,
    to_first,
    to_last,
)

Pads = tuple[tuple[int, int], ...]


def _prepare(inputs: Any, kernel: Any, data_format: Any, name: str) -> tuple[Any, Any, bool]:
    """Inputs with channels last, kernel of the same dtype, and whether channels were first."""
    x, w = promote(inputs, kernel, force_float=True)
    if len(x.shape) < 3 or len(w.shape) != len(x.shape):
        raise ValueError(
            f"[{name}] 'inputs' must have a batch, spatial and channel dimensions, and 'kernel' as "
            f"many dimensions. Received: inputs.shape={tuple(x.shape)}, "
            f"kernel.shape={tuple(w.shape)}."
        )
    first = channels_first(data_format, name)
    return (to_last(x) if first else x), w, first


def _groups(x: Any, w: Any, name: str) -> int:
    """Number of groups that the channels of input and kernel imply."""
    channels, inner = x.shape[-1], w.shape[-2]
    if channels is None:
        return 1
    if inner == 0 or channels % inner or w.shape[-1] % (channels // inner):
        raise ValueError(
            f"[{name}] the input's channels must be a multiple of the kernel's, and its filters a "
            f"multiple of that quotient. Received: {channels} channels, "
            f"kernel.shape={tuple(w.shape)}."
        )
    return int(channels // inner)


@lru_cache(maxsize=512)
def _geometry(
    space: Any, window: Any, strides: Any, padding: Any, dilation_rate: Any, name: str
) -> tuple[Any, Pads, Any]:
    """Strides, padding and dilation of a convolution, checked."""
    n = len(space)
    steps = per_dimension(strides, n, "strides", name)
    dilation = per_dimension(dilation_rate, n, "dilation_rate", name)
    kind = padding_name(padding, name, ("valid", "same", "causal"))
    return steps, shapes.window_padding(kind, space, window, steps, dilation), dilation


def _convolve(
    x: Any, w: Any, strides: Any, padding: Any, dilation_rate: Any, groups: int, name: str
) -> Any:
    if strides.__class__ is list:
        strides = tuple(strides)
    if dilation_rate.__class__ is list:
        dilation_rate = tuple(dilation_rate)
    steps, pads, dilation = _geometry(
        tuple(x.shape[1:-1]), tuple(w.shape[:-2]), strides, padding, dilation_rate, name
    )
    return lang.conv(x, w, strides=steps, padding=pads, dilation=dilation, groups=groups)


@op(tensors=("kernel",))
def conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Convolution (cross-correlation) of `inputs` with `kernel`.

    Args:
        inputs: tensor `(batch, *space, channels)`, or `(batch, channels, *space)`.
        kernel: tensor `(*window, channels / groups, filters)`; its channels decide the groups.
        strides: int or one per spatial dimension.
        padding: `"valid"`, `"same"` or `"causal"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        dilation_rate: int or one per spatial dimension.

    Returns:
        A floating tensor `(batch, *positions, filters)`, channels first if the inputs have them so.

    Raises:
        ValueError: shapes or settings do not fit.

    Example:
        >>> conv(np.ones((1, 4, 1)), np.ones((3, 1, 1)), data_format="channels_last").tolist()
        [[[3.0], [3.0]]]
    """
    x, w, first = _prepare(inputs, kernel, data_format, "conv")
    out = _convolve(x, w, strides, padding, dilation_rate, _groups(x, w, "conv"), "conv")
    return to_first(out) if first else out


@op(tensors=("kernel",))
def depthwise_conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Convolution of each channel of `inputs` with its own filters.

    Args:
        inputs: tensor `(batch, *space, channels)`, or `(batch, channels, *space)`.
        kernel: tensor `(*window, channels, multiplier)`.
        strides: int or one per spatial dimension.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        dilation_rate: int or one per spatial dimension.

    Returns:
        A floating tensor `(batch, *positions, channels * multiplier)`, channels first if the inputs
        have them so.

    Raises:
        ValueError: shapes or settings do not fit.

    Example:
        >>> depthwise_conv(np.ones((1, 3, 2)), np.ones((3, 2, 1))).tolist()
        [[[3.0, 3.0]]]
    """
    x, w, first = _prepare(inputs, kernel, data_format, "depthwise_conv")
    out = _depthwise(x, w, strides, padding, dilation_rate, "depthwise_conv")
    return to_first(out) if first else out


def _depthwise(x: Any, w: Any, strides: Any, padding: Any, dilation_rate: Any, name: str) -> Any:
    *window, channels, multiplier = w.shape
    if x.shape[-1] not in (None, channels):
        raise ValueError(
            f"[{name}] the depthwise kernel must have as many channels as the inputs. Received: "
            f"{x.shape[-1]} channels, kernel.shape={tuple(w.shape)}."
        )
    w = lang.reshape(w, (*window, 1, channels * multiplier))
    return _convolve(x, w, strides, padding, dilation_rate, channels, name)


@op(tensors=("depthwise_kernel", "pointwise_kernel"))
def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Depthwise convolution, then one that mixes the channels at each position.

    Args:
        inputs: tensor `(batch, *space, channels)`, or `(batch, channels, *space)`.
        depthwise_kernel: tensor `(*window, channels, multiplier)`.
        pointwise_kernel: tensor `(*ones, channels * multiplier, filters)`.
        strides: int or one per spatial dimension.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        dilation_rate: int or one per spatial dimension.

    Returns:
        A floating tensor `(batch, *positions, filters)`, channels first if the inputs have them so.

    Raises:
        ValueError: shapes or settings do not fit.

    Example:
        >>> separable_conv(np.ones((1, 3, 2)), np.ones((3, 2, 1)), np.ones((1, 2, 1))).tolist()
        [[[6.0]]]
    """
    x, w, first = _prepare(inputs, depthwise_kernel, data_format, "separable_conv")
    x = _depthwise(x, w, strides, padding, dilation_rate, "separable_conv")
    x, w = promote(x, pointwise_kernel)
    out = _convolve(x, w, 1, "valid", 1, _groups(x, w, "separable_conv"), "separable_conv")
    return to_first(out) if first else out


def transposed_size(
    size: int | None, window: int, stride: int, padding: str, output_padding: int | None, rate: int
) -> tuple[int | None, tuple[int, int]]:
    """Output size of a transposed convolution, and the padding of the convolution it transposes.

    The high side of the padding is negative where no window reaches the end of the output.
    """
    span = (window - 1) * rate + 1
    if padding == "valid":
        beyond = max(stride - span, 0) if output_padding is None else output_padding
        low, extra = 0, span + beyond
    else:
        # What the input is padded with, once `stride - 1` zeros stand between its elements.
        total = (
            stride + span - 2 if output_padding is None else span + span % 2 - 2 + output_padding
        )
        low = span - 1 - min(total - total // 2, span - 1)
        extra = total - span + 2
    out = None if size is None else (size - 1) * stride + extra
    return out, (low, span - extra - low)


@op(tensors=("kernel",))
def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Transposed convolution: the gradient of `conv` in its input.

    Args:
        inputs: tensor `(batch, *space, channels)`, or `(batch, channels, *space)`.
        kernel: tensor `(*window, filters, channels)`.
        strides: int or one per spatial dimension.
        padding: `"valid"` or `"same"`.
        output_padding: `None`, or int or one per spatial dimension, less than the stride: added to
            the output's size.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        dilation_rate: int or one per spatial dimension.

    Returns:
        A floating tensor `(batch, *positions, filters)`, channels first if the inputs have them so.

    Raises:
        ValueError: shapes or settings do not fit.

    Example:
        >>> conv_transpose(np.ones((1, 2, 1)), np.ones((2, 1, 1)), strides=2).tolist()
        [[[1.0], [1.0], [1.0], [1.0]]]
    """
    name = "conv_transpose"
    x, w, first = _prepare(inputs, kernel, data_format, name)
    n = len(x.shape) - 2
    steps = per_dimension(strides, n, "strides", name)
    dilation = per_dimension(dilation_rate, n, "dilation_rate", name)
    kind = padding_name(padding, name)
    more: tuple[int | None, ...] = (None,) * n
    if output_padding is not None:
        given = (
            output_padding if isinstance(output_padding, (tuple, list)) else (output_padding,) * n
        )
        more = tuple(
            None if m is None else per_dimension(m, 1, "output_padding", name, 0)[0] for m in given
        )
    found = [
        transposed_size(*each)
        for each in zip(
            x.shape[1:-1], w.shape[:-2], steps, (kind,) * n, more, dilation, strict=True
        )
    ]
    # The primitive knows no negative padding: what no window reaches is zero, and added here.
    beyond = tuple(max(-pads[1], 0) for _, pads in found)
    short = tuple(b if b >= s else 0 for b, s in zip(beyond, steps, strict=True))
    space: Any = tuple(
        None if size is None else size - cut for (size, _), cut in zip(found, short, strict=True)
    )
    out = lang.conv_input_grad(
        x,
        w,
        space=space,
        strides=steps,
        padding=tuple((pads[0], max(pads[1], 0)) for _, pads in found),
        dilation=dilation,
    )
    if any(short):
        widths = ((0, 0, 0), *((0, cut, 0) for cut in short), (0, 0, 0))
        out = lang.pad(out, 0.0, widths)
    return to_first(out) if first else out
