"""Image files, images and arrays (Pillow does the reading and writing)."""

from __future__ import annotations

import io
import os
import pathlib
import warnings
from typing import Any

import numpy as np

from kbackend.base import config, dtypes
from kbackend.base.errors import MissingPackageError
from kbackend.utils.resample import centre_box

_FILTERS = {
    "nearest": "NEAREST",
    "bilinear": "BILINEAR",
    "bicubic": "BICUBIC",
    "hamming": "HAMMING",
    "box": "BOX",
    "lanczos": "LANCZOS",
}
_MODES = {"rgb": "RGB", "rgba": "RGBA"}
_GRAY_MODES = ("L", "I;16", "I;16B", "I", "F")


def _pillow(feature: str) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackageError(feature, "Pillow", "kbackend[data]") from error
    return Image


def array_to_img(
    x: Any, data_format: str | None = None, scale: bool = True, dtype: str | None = None
) -> Any:
    """A Pillow image of an array.

    Args:
        x: array with three axes and 1, 3 or 4 channels.
        data_format: `"channels_last"` or `"channels_first"`; by default the configured one.
        scale: whether to stretch the values to the range 0 to 255.
        dtype: float type to calculate in; by default the configured one.

    Returns:
        A `PIL.Image.Image`.

    Raises:
        ValueError: the shape is not that of an image.

    Example:
        >>> array_to_img(np.zeros((8, 6, 3))).size
        (6, 8)
    """
    image = _pillow("array_to_img")
    data_format = config.standardize_data_format(data_format)
    array = np.asarray(x).astype(dtypes.numpy_dtype(dtype or config.floatx()))
    if array.ndim != 3:
        raise ValueError(
            "[array_to_img] an image has three axes: height, width and channels. "
            f"Received: shape={array.shape}."
        )
    if data_format == "channels_first":
        array = array.transpose(1, 2, 0)
    if scale:
        array = array - array.min()
        highest = array.max()
        array = array / highest * 255 if highest else array
    channels = array.shape[2]
    if channels == 1:
        if array.max(initial=0) > 255:  # more than 8 bits can hold
            return image.fromarray(array[:, :, 0].astype("int32"))
        return image.fromarray(array[:, :, 0].astype("uint8"))
    if channels not in (3, 4):
        raise ValueError(
            "[array_to_img] an image has 1, 3 or 4 channels. "
            f"Received: {channels} channels (shape={array.shape}, data_format={data_format!r})."
        )
    return image.fromarray(array.astype("uint8"))


def img_to_array(img: Any, data_format: str | None = None, dtype: str | None = None) -> np.ndarray:
    """The array of a Pillow image.

    Args:
        img: a `PIL.Image.Image`, or anything that NumPy makes an array of two or three axes of.
        data_format: `"channels_last"` or `"channels_first"`; by default the configured one.
        dtype: dtype of the array; by default the configured float type.

    Returns:
        Array of shape `(height, width, channels)`, or channels first.

    Raises:
        ValueError: it is no image.

    Example:
        >>> img_to_array(np.zeros((8, 6))).shape
        (8, 6, 1)
    """
    data_format = config.standardize_data_format(data_format)
    array = np.asarray(img).astype(dtypes.numpy_dtype(dtype or config.floatx()))
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3:
        raise ValueError(
            f"[img_to_array] an image has two or three axes. Received: shape={array.shape}."
        )
    return array.transpose(2, 0, 1) if data_format == "channels_first" else array


def load_img(
    path: Any,
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:
    """Reads an image file.

    Args:
        path: path of the file, or an `io.BytesIO` with its content.
        color_mode: `"rgb"`, `"rgba"` or `"grayscale"` (which keeps 16 and 32 bits).
        target_size: `(height, width)` to resize to, or `None`.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"hamming"`, `"box"` or `"lanczos"`.
        keep_aspect_ratio: cut off at the sides what does not fit the new proportions, instead of
            distorting the image.

    Returns:
        A `PIL.Image.Image`.

    Raises:
        ValueError: an argument is wrong.
        OSError: the file can't be read, or is no image.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> save_img(file, np.zeros((8, 6, 3)), file_format="png")
        >>> load_img(file, target_size=(4, 4)).size
        (4, 4)
    """
    pillow = _pillow("load_img")
    if color_mode not in (*_MODES, "grayscale"):
        raise ValueError(
            "[load_img] 'color_mode' must be 'grayscale', 'rgb' or 'rgba'. "
            f"Received: color_mode={color_mode!r}."
        )
    if interpolation not in _FILTERS:
        raise ValueError(
            f"[load_img] 'interpolation' must be one of {', '.join(_FILTERS)}. "
            f"Received: interpolation={interpolation!r}."
        )
    if isinstance(path, io.BytesIO):
        path.seek(0)
        img = pillow.open(path)
        img.load()
    elif isinstance(path, (str, bytes, os.PathLike, pathlib.Path)):
        with open(path, "rb") as file:
            img = pillow.open(file)
            img.load()
    else:
        raise TypeError(
            "[load_img] 'path' must be a path or io.BytesIO. "
            f"Received: {path!r} of type {type(path).__name__}."
        )
    if color_mode == "grayscale":
        img = img if img.mode in _GRAY_MODES else img.convert("L")
    elif img.mode != _MODES[color_mode]:
        img = img.convert(_MODES[color_mode])
    if target_size is None or img.size == (target_size[1], target_size[0]):
        return img
    box = None
    if keep_aspect_ratio:
        top, left, height, width = centre_box(img.size[1], img.size[0], target_size)
        box = (left, top, left + width, top + height)
    resampling = getattr(pillow.Resampling, _FILTERS[interpolation])
    return img.resize((target_size[1], target_size[0]), resampling, box=box)


def save_img(
    path: Any,
    x: Any,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Writes an array to an image file.

    Args:
        path: path of the file, or a file object.
        x: array of an image.
        data_format: `"channels_last"` or `"channels_first"`; by default the configured one.
        file_format: format of the file; by default its suffix tells.
        scale: whether to stretch the values to the range 0 to 255.
        **kwargs: for `PIL.Image.Image.save`.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> save_img(file, np.zeros((8, 6, 1)), file_format="png")
        >>> file.getvalue()[1:4]
        b'PNG'
    """
    img = array_to_img(x, data_format=data_format, scale=scale)
    suffix = os.path.splitext(os.fspath(path))[1] if isinstance(path, (str, os.PathLike)) else ""
    kind = (file_format or suffix.lstrip(".")).lower()
    if img.mode == "RGBA" and kind in ("jpg", "jpeg"):
        warnings.warn(
            "[save_img] JPEG has no transparency: the alpha channel was left out.", stacklevel=2
        )
        img = img.convert("RGB")
    if kind == "jpg":
        file_format = "jpeg" if file_format else None
    img.save(path, format=file_format, **kwargs)
