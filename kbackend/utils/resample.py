"""Images of another size, by interpolation without anti-aliasing, as Keras does it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1.0 - x)


def _cubic(x: np.ndarray) -> np.ndarray:
    near = ((1.5 * x - 2.5) * x) * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _lanczos(radius: int) -> Callable[[np.ndarray], np.ndarray]:
    def kernel(x: np.ndarray) -> np.ndarray:
        return np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0.0)

    return kernel


_KERNELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bilinear": _triangle,
    "bicubic": _cubic,
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
}
INTERPOLATIONS = ("nearest", *_KERNELS)


def _weights(old: int, new: int, kernel: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The matrix `(new, old)` that interpolates one axis. Pixels are areas: centres lie at .5."""
    centres = (np.arange(new) + 0.5) * (old / new) - 0.5
    weights = kernel(np.abs(centres[:, None] - np.arange(old)))
    return weights / weights.sum(axis=1, keepdims=True)  # at the border part of the kernel is cut


def resample(images: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Images of the size `(height, width)`.

    Args:
        images: array of shape `(..., height, width, channels)`.
        size: the new height and width.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`.

    Returns:
        Array of shape `(..., *size, channels)`: of the dtype of `images` for `"nearest"` and for
        floats, float32 otherwise.

    Raises:
        ValueError: the interpolation is unknown.

    Example:
        >>> resample(np.array([[[0.0], [2.0]]]), (1, 4), "bilinear")[0, :, 0]
        array([0. , 0.5, 1.5, 2. ])
    """
    interpolation = str(interpolation).lower()
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"[resize] 'interpolation' must be one of {', '.join(INTERPOLATIONS)}. "
            f"Received: interpolation={interpolation!r}."
        )
    height, width = images.shape[-3:-1]
    if interpolation == "nearest":
        rows = ((np.arange(size[0]) + 0.5) * (height / size[0])).astype("int64")
        columns = ((np.arange(size[1]) + 0.5) * (width / size[1])).astype("int64")
        return images[..., rows[:, None], columns[None, :], :]
    result = images if images.dtype.kind == "f" else images.astype("float32")
    kernel = _KERNELS[interpolation]
    if height != size[0]:
        by_row = _weights(height, size[0], kernel).astype(result.dtype)
        flat = result.reshape(*result.shape[:-2], -1)
        result = (by_row @ flat).reshape(*result.shape[:-3], size[0], *result.shape[-2:])
    if width != size[1]:
        result = _weights(width, size[1], kernel).astype(result.dtype) @ result
    return result


def centre_box(height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """`(top, left, height, width)` of the largest centred part with the proportions of `size`."""
    box_height = max(min(height, int(width * size[0] / size[1])), 1)
    box_width = max(min(width, int(height * size[1] / size[0])), 1)
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def smart_resize(
    x: np.ndarray,
    size: tuple[int, int],
    interpolation: str = "bilinear",
    data_format: str = "channels_last",
) -> np.ndarray:
    """Images of another size without distortion: what does not fit the new proportions is cut off.

    Args:
        x: one image of shape `(height, width, channels)`, or a batch of them (channels first where
            `data_format` says so).
        size: the new height and width.
        interpolation: as for `resample`.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        Array of images of the new size, of the dtype of `x`.

    Raises:
        ValueError: an argument is wrong.

    Example:
        >>> smart_resize(np.zeros((20, 40, 3)), (10, 10)).shape
        (10, 10, 3)
    """
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"[smart_resize] 'size' must be (height, width). Received: size={size!r}.")
    images = np.asarray(x)
    if images.ndim not in (3, 4):
        raise ValueError(
            "[smart_resize] 'x' must be one image (3 axes) or a batch of images (4 axes). "
            f"Received: shape={images.shape}."
        )
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            "[smart_resize] 'data_format' must be 'channels_last' or 'channels_first'. "
            f"Received: data_format={data_format!r}."
        )
    first = data_format == "channels_first"
    goal = (int(size[0]), int(size[1]))
    if first:
        images = np.moveaxis(images, -3, -1)
    top, left, height, width = centre_box(images.shape[-3], images.shape[-2], goal)
    cut = images[..., top : top + height, left : left + width, :]
    resized = resample(cut, goal, interpolation)
    if resized.dtype != images.dtype:
        resized = np.rint(resized) if images.dtype.kind in "iu" else resized
        if images.dtype.kind in "iu":
            limits = np.iinfo(images.dtype)
            resized = resized.clip(limits.min, limits.max)
        resized = resized.astype(images.dtype)
    return np.moveaxis(resized, -1, -3) if first else resized
