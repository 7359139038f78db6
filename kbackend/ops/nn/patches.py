"""Windows as columns and back, and blocks of pixels as channels and back."""

from __future__ import annotations

from itertools import product
from typing import Any

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.nn.arguments import channels_first, per_dimension

Ints = tuple[int, ...]


def _settings(name: str, **values: Any) -> list[Ints]:
    least = {"padding": 0}
    return [per_dimension(v, 2, key, name, least.get(key, 1)) for key, v in values.items()]


def _counts(space: Any, kernel: Ints, dilation: Ints, padding: Ints, stride: Ints) -> list[int]:
    return [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, d, p, s in zip(space, kernel, dilation, padding, stride, strict=True)
    ]


@op(static=("kernel_size",))
def unfold(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Windows of images as columns.

    Args:
        x: tensor `(batch, channels, height, width)`.
        kernel_size: int or pair.
        dilation: int or pair.
        padding: int or pair, zeros on both sides.
        stride: int or pair.

    Returns:
        A tensor `(batch, channels * kernel elements, windows)`.

    Raises:
        ValueError: an argument does not fit.

    Example:
        >>> unfold(np.ones((1, 2, 4, 4)), 3).shape
        (1, 18, 4)
    """
    x = to_tensor(x)
    if len(x.shape) != 4:
        raise ValueError(
            "[unfold] takes a tensor (batch, channels, height, width). "
            f"Received: x.shape={tuple(x.shape)}."
        )
    kernel, rate, pads, steps = _settings(
        "unfold", kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride
    )
    batch, channels, *space = x.shape
    rows, columns = _counts(space, kernel, rate, pads, steps)
    if any(pads):
        widths = ((0, 0, 0), (0, 0, 0), *((p, p, 0) for p in pads))
        x = lang.pad(x, lang.lift_as(0, x, x.dtype), widths)
    parts = []
    for i, j in product(range(kernel[0]), range(kernel[1])):
        top, left = i * rate[0], j * rate[1]
        bottom, right = top + (rows - 1) * steps[0] + 1, left + (columns - 1) * steps[1] + 1
        part = lang.slice_(x, (0, 0, top, left), (batch, channels, bottom, right), (1, 1, *steps))
        parts.append(lang.reshape(part, (batch, channels, 1, rows * columns)))
    joined = lang.concatenate(parts, 2)
    return lang.reshape(joined, (batch, channels * len(parts), rows * columns))


@op(static=("output_size", "kernel_size"))
def fold(
    x: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Any:
    """Columns added up into images: the transpose of `unfold`.

    Args:
        x: tensor `(batch, channels * kernel elements, windows)`.
        output_size: int or pair, height and width of the images.
        kernel_size: int or pair.
        dilation: int or pair.
        padding: int or pair.
        stride: int or pair.

    Returns:
        A tensor `(batch, channels, height, width)`.

    Raises:
        ValueError: an argument does not fit.

    Example:
        >>> fold(np.ones((1, 4, 1)), 2, 2).shape
        (1, 1, 2, 2)
    """
    x = to_tensor(x)
    size, kernel, rate, pads, steps = _settings(
        "fold", output_size=output_size, kernel_size=kernel_size, dilation=dilation,
        padding=padding, stride=stride,
    )  # fmt: skip
    rows, columns = _counts(size, kernel, rate, pads, steps)
    taps = kernel[0] * kernel[1]
    shape = tuple(x.shape)
    if len(shape) != 3 or shape[1] % taps or shape[2] not in (None, rows * columns):
        raise ValueError(
            f"[fold] takes a tensor (batch, a multiple of {taps}, {rows * columns}) for "
            f"output_size={size} and kernel_size={kernel}. Received: x.shape={shape}."
        )
    channels = shape[1] // taps
    x = lang.reshape(x, (shape[0], channels, taps, rows, columns))
    height, width = size[0] + 2 * pads[0], size[1] + 2 * pads[1]
    zero = lang.lift_as(0, x, x.dtype)
    out: Any = None
    for at, (i, j) in enumerate(product(range(kernel[0]), range(kernel[1]))):
        part = lang.slice_(x, (0, 0, at, 0, 0), (shape[0], channels, at + 1, rows, columns))
        part = lang.reshape(part, (shape[0], channels, rows, columns))
        top, left = i * rate[0], j * rate[1]
        bottom = height - top - (rows - 1) * steps[0] - 1
        right = width - left - (columns - 1) * steps[1] - 1
        widths = (
            (0, 0, 0),
            (0, 0, 0),
            (top, bottom, steps[0] - 1),
            (left, right, steps[1] - 1),
        )
        part = lang.pad(part, zero, widths)
        out = part if out is None else lang.add(out, part)
    stop = (shape[0], channels, pads[0] + size[0], pads[1] + size[1])
    return lang.slice_(out, (0, 0, *pads), stop)


def _check_block(x: Any, block_size: int, data_format: Any, name: str) -> bool:
    first = channels_first(data_format, name)
    if len(x.shape) != 4 or not isinstance(block_size, int) or block_size < 1:
        raise ValueError(
            f"[{name}] takes a tensor with 4 dimensions and a positive integer 'block_size'. "
            f"Received: x.shape={tuple(x.shape)}, block_size={block_size!r}."
        )
    return first


@op(static=("block_size",))
def depth_to_space(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """Channels moved into blocks of pixels.

    Args:
        x: tensor `(batch, height, width, channels)`, or channels first.
        block_size: height and width of a block.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        A tensor `(batch, height * block, width * block, channels / block^2)`, or channels first.

    Raises:
        ValueError: the channels are no multiple of the square of the block.

    Example:
        >>> depth_to_space(np.ones((1, 2, 2, 8)), 2).shape
        (1, 4, 4, 2)
    """
    x = to_tensor(x)
    first = _check_block(x, block_size, data_format, "depth_to_space")
    b = block_size
    batch, channels = x.shape[0], x.shape[1 if first else 3]
    if channels % (b * b):
        raise ValueError(
            f"[depth_to_space] the channels must be a multiple of {b * b}. Received: {channels}."
        )
    kept = channels // (b * b)
    # With channels first the place in the block is the faster part of the channel, as in PyTorch.
    if first:
        height, width = x.shape[2:]
        x = lang.reshape(x, (batch, kept, b, b, height, width))
        x = lang.transpose(x, (0, 1, 4, 2, 5, 3))
        return lang.reshape(x, (batch, kept, height * b, width * b))
    height, width = x.shape[1:3]
    x = lang.reshape(x, (batch, height, width, b, b, kept))
    x = lang.transpose(x, (0, 1, 3, 2, 4, 5))
    return lang.reshape(x, (batch, height * b, width * b, kept))


@op(static=("block_size",))
def space_to_depth(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """Blocks of pixels moved into channels.

    Args:
        x: tensor `(batch, height, width, channels)`, or channels first.
        block_size: height and width of a block.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        A tensor `(batch, height / block, width / block, channels * block^2)`, or channels first.

    Raises:
        ValueError: height or width is no multiple of the block.

    Example:
        >>> space_to_depth(np.ones((1, 4, 4, 2)), 2).shape
        (1, 2, 2, 8)
    """
    x = to_tensor(x)
    first = _check_block(x, block_size, data_format, "space_to_depth")
    b = block_size
    batch = x.shape[0]
    channels, height, width = x.shape[1:] if first else (x.shape[3], *x.shape[1:3])
    if height % b or width % b:
        raise ValueError(
            f"[space_to_depth] height and width must be multiples of {b}. "
            f"Received: {height} and {width}."
        )
    if first:
        x = lang.reshape(x, (batch, channels, height // b, b, width // b, b))
        x = lang.transpose(x, (0, 1, 3, 5, 2, 4))
        return lang.reshape(x, (batch, channels * b * b, height // b, width // b))
    x = lang.reshape(x, (batch, height // b, b, width // b, b, channels))
    x = lang.transpose(x, (0, 1, 3, 2, 4, 5))
    return lang.reshape(x, (batch, height // b, width // b, channels * b * b))
