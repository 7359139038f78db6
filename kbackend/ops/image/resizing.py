"""Resampling of images by products with small matrices of weights."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.core.convert import saturate_cast
from kbackend.ops.define import op
from kbackend.ops.image.arguments import one_of, two, with_batch
from kbackend.ops.nn.arguments import floating

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
_METHODS = {"linear": "bilinear", "triangle": "bilinear", "cubic": "bicubic"}


def _kernel(x: Any, interpolation: str) -> Any:
    """Weight of a sample at distance x (>= 0)."""
    if interpolation == "bilinear":
        return np.maximum(0, 1 - x)
    if interpolation == "bicubic":
        # Keys, "Cubic convolution interpolation for digital image processing", 1981, a = -1/2.
        near = (1.5 * x - 2.5) * x * x + 1
        far = ((-0.5 * x + 2.5) * x - 4) * x + 2
        return np.where(x < 1, near, np.where(x < 2, far, 0))
    radius = 3 if interpolation == "lanczos3" else 5
    return np.where(x > radius, 0, np.sinc(x) * np.sinc(x / radius))


def _weights(
    size: int, out: int, scale: float, translation: float, interpolation: str, antialias: bool
) -> Any:
    """Matrix `(size, out)` that resamples one axis."""
    places = (np.arange(out) + 0.5 - translation) / scale - 0.5
    # When it shrinks, the kernel widens, so that every sample counts.
    spread = max(1 / scale, 1.0) if antialias else 1.0
    distances = np.abs(places - np.arange(size)[:, None]) / spread
    weights = _kernel(distances, interpolation)
    total = weights.sum(0)
    usable = np.abs(total) > 1000 * np.finfo("float32").eps
    weights = np.where(usable, weights / np.where(usable, total, 1), 0)
    inside = (places >= -0.5) & (places <= size - 0.5)
    return np.where(inside, weights, 0).astype("float32")


@lru_cache(maxsize=256)
def _resize_weights(size: int, out: int, interpolation: str, antialias: bool) -> Any:
    return _weights(size, out, out / size, 0.0, interpolation, antialias)


def _resample(x: Any, axis: int, weights: Any) -> Any:
    """x times `weights` along `axis`."""
    out = lang.dot(x, to_tensor(weights, x.dtype), ((axis,), (0,)))
    last = len(x.shape) - 1
    return lang.transpose(out, (*range(axis), last, *range(axis, last)))


def _to_size(x: Any, height: int, width: int, interpolation: str, antialias: bool) -> Any:
    """`(batch, height, width, channels)` resampled, in x's dtype for nearest, else floating."""
    for axis, size in ((1, height), (2, width)):
        given = x.shape[axis]
        if given == size:
            continue
        if interpolation == "nearest":
            places = np.floor((np.arange(size) + 0.5) * (given / size)).astype("int32")
            picked = lang.gather(x, (to_tensor(np.minimum(places, given - 1)),), (axis,))
            x = lang.transpose(picked, (1, 0, 2, 3) if axis == 1 else (1, 2, 0, 3))
        else:
            x = _resample(x, axis, _resize_weights(given, size, interpolation, antialias))
    return x


def _cropped(x: Any, height: int, width: int) -> Any:
    """The central part of the aspect ratio `height / width`."""
    h, w = x.shape[1:3]
    rows = max(min(int(float(w * height) / width), h), 1)
    columns = max(min(int(float(h * width) / height), w), 1)
    top, left = int(float(h - rows) / 2), int(float(w - columns) / 2)
    stop = (x.shape[0], top + rows, left + columns, x.shape[3])
    return lang.slice_(x, (0, top, left, 0), stop)


def _padded(x: Any, height: int, width: int, value: float) -> Any:
    """x with a frame that gives it the aspect ratio `height / width`."""
    h, w = x.shape[1:3]
    rows = max(int(float(w * height) / width), h)
    columns = max(int(float(h * width) / height), w)
    top, left = int(float(rows - h) / 2), int(float(columns - w) / 2)
    if (rows, columns) == (h, w):
        return x
    # Symmetric, so that an odd rest is left out.
    widths = ((0, 0, 0), (top, top, 0), (left, left, 0), (0, 0, 0))
    return lang.pad(x, lang.lift_as(value, x, x.dtype), widths)


@op(static=("size",))
def resize(
    images: Any,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Any:
    """Images resampled to another size.

    Args:
        images: tensor `(height, width, channels)` or a batch of them.
        size: pair of height and width.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`.
        antialias: whether every pixel counts where images shrink.
        crop_to_aspect_ratio: whether to cut the images to the new aspect ratio first.
        pad_to_aspect_ratio: whether to pad the images to the new aspect ratio first.
        fill_mode: `"constant"`, how to pad.
        fill_value: what to pad with.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A tensor of the dtype of `images`.

    Raises:
        ValueError: an argument does not fit.

    Example:
        >>> resize(np.ones((4, 4, 3)), (2, 6)).shape
        (2, 6, 3)
    """
    height, width = two(size, "size", "resize")
    one_of(interpolation, INTERPOLATIONS, "interpolation", "resize")
    one_of(fill_mode, ("constant",), "fill_mode", "resize")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError(
            "[resize] only one of 'crop_to_aspect_ratio' and 'pad_to_aspect_ratio' can be true. "
            "Received: both true."
        )
    images = to_tensor(images)
    dtype = images.dtype

    def run(x: Any) -> Any:
        if crop_to_aspect_ratio:
            x = _cropped(x, height, width)
        elif pad_to_aspect_ratio:
            x = _padded(x, height, width, fill_value)
        if interpolation != "nearest":
            x = floating(x)
        out = _to_size(x, height, width, interpolation, bool(antialias))
        return _back(out, dtype)

    return with_batch(images, data_format, "resize", run)


def _back(x: Any, dtype: str) -> Any:
    """Floats rounded and clipped where the images were integers."""
    if x.dtype == dtype:
        return x
    return saturate_cast(lang.round_(x) if dtype.startswith(("int", "uint")) else x, dtype)


@op(static=("output_shape", "spatial_dims", "method"), tensors=("scale", "translation"))
def scale_and_translate(
    images: Any,
    output_shape: Any,
    scale: Any,
    translation: Any,
    spatial_dims: Any,
    method: str,
    antialias: bool = True,
) -> Any:
    """Images scaled and moved along given axes.

    Args:
        images: tensor.
        output_shape: shape of the result.
        scale: one factor per axis of `spatial_dims`.
        translation: one distance per axis, in pixels of the result.
        spatial_dims: axes to resample.
        method: `"linear"`, `"bilinear"`, `"cubic"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`.
        antialias: whether every pixel counts where images shrink.

    Returns:
        A floating tensor of the given shape.

    Raises:
        ValueError: an argument does not fit.

    Example:
        >>> scale_and_translate(np.ones((2, 2)), (4, 2), [2.0], [0.0], (0,), "linear").shape
        (4, 2)
    """
    name = "scale_and_translate"
    kind = _METHODS.get(method, method)
    one_of(kind, INTERPOLATIONS[1:], "method", name)
    x = floating(images)
    axes = tuple(d + len(x.shape) if d < 0 else d for d in spatial_dims)
    # The weights are made on the host, so that factors must be known when it runs.
    scales = np.asarray(to_tensor(scale), "float64").reshape(-1)
    moves = np.asarray(to_tensor(translation), "float64").reshape(-1)
    if len(output_shape) != len(x.shape) or not len(axes) == len(scales) == len(moves):
        raise ValueError(
            f"[{name}] needs one output dimension per dimension of the images, and one scale and "
            f"translation per axis. Received: output_shape={output_shape}, scale={scales.tolist()},"
            f" translation={moves.tolist()}, spatial_dims={spatial_dims}."
        )
    for axis, factor, move in zip(axes, scales, moves, strict=True):
        args = (x.shape[axis], output_shape[axis], factor, move)
        x = _resample(x, axis, _weights(*args, kind, bool(antialias)))
    return x
