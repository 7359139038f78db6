"""Colour spaces."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.image.arguments import with_batch
from kbackend.ops.nn.arguments import floating


def _channels(x: Any, name: str) -> list[Any]:
    """Red, green and blue of `(batch, height, width, 3)`."""
    if x.shape[-1] not in (None, 3):
        raise ValueError(f"[{name}] images must have 3 channels. Received: {x.shape[-1]} channels.")
    lead, outer = (0,) * 3, tuple(x.shape[:-1])
    return [lang.slice_(x, (*lead, i), (*outer, i + 1)) for i in range(3)]


@op()
def rgb_to_grayscale(images: Any, data_format: str | None = None) -> Any:
    """Brightness of colour images: `0.2989 r + 0.587 g + 0.114 b`.

    Args:
        images: tensor `(height, width, 3)` or a batch of them.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A tensor of the dtype of `images` with one channel.

    Raises:
        ValueError: the images do not have three channels.

    Example:
        >>> rgb_to_grayscale(np.ones((2, 2, 3))).shape
        (2, 2, 1)
    """
    images = to_tensor(images)
    dtype = images.dtype

    def run(x: Any) -> Any:
        red, green, blue = _channels(floating(x), "rgb_to_grayscale")
        gray = lang.add(lang.mul(red, 0.2989), lang.mul(green, 0.587))
        return lang.cast(lang.add(gray, lang.mul(blue, 0.114)), dtype)

    return with_batch(images, data_format, "rgb_to_grayscale", run)


def _float_images(images: Any, name: str) -> Any:
    images = to_tensor(images)
    if not images.dtype.startswith(("float", "bfloat")):
        raise ValueError(
            f"[{name}] images must be floating, with values in [0, 1]. "
            f"Received dtype: {images.dtype}."
        )
    return images


@op()
def rgb_to_hsv(images: Any, data_format: str | None = None) -> Any:
    """Hue, saturation and value of colour images.

    Args:
        images: floating tensor `(height, width, 3)` or a batch of them, with values in [0, 1].
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A tensor of the same shape, all values in [0, 1].

    Raises:
        ValueError: the images are not floating or do not have three channels.

    Example:
        >>> rgb_to_hsv(np.array([[[0.0, 1.0, 0.0]]])).tolist()
        [[[0.333, 1.0, 1.0]]]
    """

    def run(x: Any) -> Any:
        red, green, blue = _channels(x, "rgb_to_hsv")
        value = lang.maximum(lang.maximum(red, green), blue)
        span = lang.sub(value, lang.minimum(lang.minimum(red, green), blue))
        dark, gray = lang.le(value, 0.0), lang.le(span, 0.0)
        saturation = lang.select(dark, 0.0, lang.div(span, lang.select(dark, 1.0, value)))
        sixth = lang.div(1.0, lang.mul(lang.select(gray, 1.0, span), 6.0))
        hue = lang.add(lang.mul(sixth, lang.sub(red, green)), 2 * 2 / 6)
        hue = lang.select(
            lang.eq(green, value), lang.add(lang.mul(sixth, lang.sub(blue, red)), 2 / 6), hue
        )
        hue = lang.select(lang.eq(red, value), lang.mul(sixth, lang.sub(green, blue)), hue)
        hue = lang.select(gray, 0.0, hue)
        hue = lang.select(lang.lt(hue, 0.0), lang.add(hue, 1.0), hue)
        return lang.concatenate([hue, saturation, value], 3)

    return with_batch(_float_images(images, "rgb_to_hsv"), data_format, "rgb_to_hsv", run)


@op()
def hsv_to_rgb(images: Any, data_format: str | None = None) -> Any:
    """Inverse of `rgb_to_hsv`.

    Args:
        images: floating tensor `(height, width, 3)` or a batch of them, with values in [0, 1].
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A tensor of the same shape.

    Raises:
        ValueError: the images are not floating or do not have three channels.

    Example:
        >>> hsv_to_rgb(np.array([[[0.0, 1.0, 1.0]]])).tolist()
        [[[1.0, 0.0, 0.0]]]
    """

    def run(x: Any) -> Any:
        hue, saturation, value = _channels(x, "hsv_to_rgb")
        hue = lang.mul(hue, 6.0)
        # Each colour is a trapezium over the hue.
        red = lang.sub(lang.abs_(lang.sub(hue, 3.0)), 1.0)
        green = lang.sub(2.0, lang.abs_(lang.sub(hue, 2.0)))
        blue = lang.sub(2.0, lang.abs_(lang.sub(hue, 4.0)))
        parts = []
        for part in (red, green, blue):
            part = lang.minimum(lang.maximum(part, 0.0), 1.0)
            faded = lang.add(lang.mul(lang.sub(part, 1.0), saturation), 1.0)
            parts.append(lang.mul(faded, value))
        return lang.concatenate(parts, 3)

    return with_batch(_float_images(images, "hsv_to_rgb"), data_format, "hsv_to_rgb", run)
