"""Padding, cropping and cutting into patches."""

from __future__ import annotations

from itertools import product
from typing import Any

from kbackend.base import shapes
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.image.arguments import with_batch
from kbackend.ops.nn.arguments import (
    channels_first,
    padding_name,
    per_dimension,
    to_first,
    to_last,
)


def _two_of(before: Any, after: Any, target: Any, names: tuple[str, str, str], name: str) -> None:
    if sum(v is None for v in (before, after, target)) != 1:
        given = ", ".join(f"{n}={v}" for n, v in zip(names, (before, after, target), strict=True))
        raise ValueError(
            f"[{name}] exactly two of {', '.join(names)} must be given. Received: {given}."
        )


@op()
def pad_images(
    images: Any,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """Images with zeros around them. Two of three settings per direction decide.

    Args:
        images: tensor `(height, width, channels)` or a batch of them.
        top_padding: number of rows above.
        left_padding: number of columns on the left.
        bottom_padding: number of rows below.
        right_padding: number of columns on the right.
        target_height: height of the result.
        target_width: width of the result.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A tensor of the dtype of `images`.

    Raises:
        ValueError: too few or too many settings, or negative padding.

    Example:
        >>> pad_images(np.ones((2, 2, 1)), 1, 1, target_height=4, target_width=3).shape
        (4, 3, 1)
    """
    name = "pad_images"
    _two_of(top_padding, bottom_padding, target_height,
            ("top_padding", "bottom_padding", "target_height"), name)  # fmt: skip
    _two_of(left_padding, right_padding, target_width,
            ("left_padding", "right_padding", "target_width"), name)  # fmt: skip

    def sides(size: int, before: Any, after: Any, target: Any) -> tuple[int, int, int]:
        if before is None:
            before = target - size - after
        elif after is None:
            after = target - size - before
        if before < 0 or after < 0:
            raise ValueError(
                f"[{name}] padding can't be negative. Received: {before} and {after} for a "
                f"dimension of size {size}."
            )
        return before, after, 0

    def run(x: Any) -> Any:
        rows = sides(x.shape[1], top_padding, bottom_padding, target_height)
        columns = sides(x.shape[2], left_padding, right_padding, target_width)
        return lang.pad(x, lang.lift_as(0, x, x.dtype), ((0, 0, 0), rows, columns, (0, 0, 0)))

    return with_batch(to_tensor(images), data_format, name, run)


@op()
def crop_images(
    images: Any,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """Images without their margins. Two of three settings per direction decide.

    Args:
        images: tensor `(height, width, channels)` or a batch of them.
        top_cropping: number of rows to cut above.
        left_cropping: number of columns to cut on the left.
        bottom_cropping: number of rows to cut below.
        right_cropping: number of columns to cut on the right.
        target_height: height of the result.
        target_width: width of the result.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A tensor of the dtype of `images`.

    Raises:
        ValueError: too few or too many settings, or nothing is left.

    Example:
        >>> crop_images(np.ones((4, 4, 1)), 1, 1, target_height=2, target_width=3).shape
        (2, 3, 1)
    """
    name = "crop_images"
    _two_of(top_cropping, bottom_cropping, target_height,
            ("top_cropping", "bottom_cropping", "target_height"), name)  # fmt: skip
    _two_of(left_cropping, right_cropping, target_width,
            ("left_cropping", "right_cropping", "target_width"), name)  # fmt: skip

    def span(size: int, before: Any, after: Any, target: Any) -> tuple[int, int]:
        if before is None:
            before = size - target - after
        stop = size - after if after is not None else before + target
        if not 0 <= before < stop <= size:
            raise ValueError(
                f"[{name}] cropping must leave a part of the images. Received: the range from "
                f"{before} to {stop} of a dimension of size {size}."
            )
        return before, stop

    def run(x: Any) -> Any:
        top, bottom = span(x.shape[1], top_cropping, bottom_cropping, target_height)
        left, right = span(x.shape[2], left_cropping, right_cropping, target_width)
        return lang.slice_(x, (0, top, left, 0), (x.shape[0], bottom, right, x.shape[3]))

    return with_batch(to_tensor(images), data_format, name, run)


def _patches(x: Any, size: Any, strides: Any, dilation_rate: Any, padding: str, name: str) -> Any:
    """`(batch, *space, channels)` as `(batch, *positions, prod(size) * channels)`."""
    n = len(x.shape) - 2
    window = per_dimension(size, n, "size", name)
    steps = window if strides is None else per_dimension(strides, n, "strides", name)
    rate = per_dimension(dilation_rate, n, "dilation_rate", name)
    kind = padding_name(padding, name)
    pads = shapes.window_padding(kind, x.shape[1:-1], window, steps, rate)
    if any(map(any, pads)):
        widths = ((0, 0, 0), *((low, high, 0) for low, high in pads), (0, 0, 0))
        x = lang.pad(x, lang.lift_as(0, x, x.dtype), widths)
    space = x.shape[1:-1]
    counts = tuple(
        shapes.window_output(s, k, t, (0, 0), r)
        for s, k, t, r in zip(space, window, steps, rate, strict=True)
    )
    parts = []
    for place in product(*map(range, window)):
        starts = tuple(p * r for p, r in zip(place, rate, strict=True))
        stops = tuple(
            a + (c - 1) * t + 1 if c else a for a, c, t in zip(starts, counts, steps, strict=True)
        )
        parts.append(
            lang.slice_(x, (0, *starts, 0), (x.shape[0], *stops, x.shape[-1]), (1, *steps, 1))
        )
    return lang.concatenate(parts, n + 1)


@op(static=("size",))
def extract_patches(
    images: Any,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """Windows of images, flattened into channels.

    Args:
        images: tensor `(height, width, channels)` or a batch of them.
        size: int or pair, height and width of a patch.
        strides: int or pair; `size` by default.
        dilation_rate: int or pair.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A tensor `(batch, rows, columns, size[0] * size[1] * channels)`, or without the batch.

    Raises:
        ValueError: an argument does not fit.

    Example:
        >>> extract_patches(np.ones((4, 6, 3)), 2).shape
        (2, 3, 12)
    """
    return with_batch(
        to_tensor(images),
        data_format,
        "extract_patches",
        lambda x: _patches(x, size, strides, dilation_rate, padding, "extract_patches"),
    )


@op(static=("size",))
def extract_patches_3d(
    volumes: Any,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """Windows of volumes, flattened into channels.

    Args:
        volumes: tensor `(depth, height, width, channels)` or a batch of them.
        size: int or triple, the dimensions of a patch.
        strides: int or triple; `size` by default.
        dilation_rate: int or triple.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A tensor `(batch, *positions, prod(size) * channels)`, or without the batch.

    Raises:
        ValueError: an argument does not fit.

    Example:
        >>> extract_patches_3d(np.ones((4, 4, 4, 1)), 2).shape
        (2, 2, 2, 8)
    """
    name = "extract_patches_3d"
    x = to_tensor(volumes)
    first = channels_first(data_format, name)
    ndim = len(x.shape)
    if ndim not in (4, 5):
        raise ValueError(
            f"[{name}] takes a volume with 4 dimensions or a batch with 5. "
            f"Received: volumes.shape={tuple(x.shape)}."
        )
    if ndim == 4:
        x = lang.reshape(x, (1, *x.shape))
    out = _patches(to_last(x) if first else x, size, strides, dilation_rate, padding, name)
    if first:
        out = to_first(out)
    return lang.reshape(out, tuple(out.shape[1:])) if ndim == 4 else out
