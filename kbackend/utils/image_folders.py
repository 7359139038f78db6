"""Directories of images as data sets."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.base import config
from kbackend.utils.folders import folder_dataset
from kbackend.utils.images import img_to_array, load_img
from kbackend.utils.resample import INTERPOLATIONS, centre_box, resample

_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


def image_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: tuple[int, int] = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    format: str = "tf",
    verbose: bool = True,
) -> Any:
    """A data set of the images in a directory (`.bmp`, `.gif`, `.jpg`, `.png`).

    With `labels="inferred"` each subdirectory is a class, numbered by name.

    Args:
        directory: the directory.
        labels: `"inferred"`, `None` for no labels, or a list with one label for each file.
        label_mode: `"int"`, `"categorical"` (one-hot), `"binary"` (0.0 and 1.0) or `None`.
        class_names: the subdirectories, in the order that numbers the classes.
        color_mode: `"rgb"`, `"rgba"` or `"grayscale"`.
        batch_size: images of a batch; `None` yields single images.
        image_size: `(height, width)` that images are resized to.
        shuffle: whether each epoch has an order of its own; else files come sorted by path.
        seed: of the orders and of the split.
        validation_split: fraction of the files to hold back for validation.
        subset: `"training"`, `"validation"`, or `"both"` for a pair.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`.
        follow_links: whether to follow links to directories.
        crop_to_aspect_ratio: cut off what does not fit the new proportions.
        pad_to_aspect_ratio: add black borders to get the new proportions.
        data_format: `"channels_last"` or `"channels_first"`; by default the configured one.
        format: accepted for the sake of Keras's signature; the data set is always a `PyDataset`.
        verbose: whether to write how many files there are.

    Returns:
        A `PyDataset` with `class_names` and `file_paths`, which yields float images from 0 to 255
        and labels; set its `workers` to read files in several threads.

    Raises:
        ValueError: an argument is wrong, or no image was found.

    Example:
        >>> import pathlib, tempfile
        >>> from kbackend.utils import save_img
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("cats", "dogs"):
        ...     (folder / name).mkdir()
        ...     save_img(folder / name / "1.png", np.zeros((8, 8, 3)))
        >>> dataset = image_dataset_from_directory(folder, image_size=(4, 4), verbose=False)
        >>> x, y = dataset[0]
        >>> x.shape, dataset.class_names
        ((2, 4, 4, 3), ['cats', 'dogs'])
    """
    feature = "image_dataset_from_directory"
    if color_mode not in ("rgb", "rgba", "grayscale"):
        raise ValueError(
            f"[{feature}] 'color_mode' must be 'rgb', 'rgba' or 'grayscale'. "
            f"Received: color_mode={color_mode!r}."
        )
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"[{feature}] 'interpolation' must be one of {', '.join(INTERPOLATIONS)}. "
            f"Received: interpolation={interpolation!r}."
        )
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError(
            f"[{feature}] give 'crop_to_aspect_ratio' or 'pad_to_aspect_ratio', not both."
        )
    size = _checked_size(feature, image_size)
    data_format = config.standardize_data_format(data_format)

    def read(path: str) -> np.ndarray:
        image = img_to_array(load_img(path, color_mode), "channels_last")
        if crop_to_aspect_ratio:
            top, left, height, width = centre_box(image.shape[0], image.shape[1], size)
            image = image[top : top + height, left : left + width]
        elif pad_to_aspect_ratio:
            image = _padded(image, size)
        image = resample(image, size, interpolation)
        return image.transpose(2, 0, 1) if data_format == "channels_first" else image

    return folder_dataset(
        feature,
        read,
        directory,
        labels,
        label_mode,
        class_names,
        _SUFFIXES,
        batch_size,
        shuffle,
        seed,
        validation_split,
        subset,
        follow_links,
        verbose,
    )


def _checked_size(feature: str, size: Any) -> tuple[int, int]:
    if not isinstance(size, (tuple, list)) or len(size) != 2 or min(size) < 1:
        raise ValueError(
            f"[{feature}] 'image_size' must be (height, width). Received: image_size={size!r}."
        )
    return int(size[0]), int(size[1])


def _padded(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = image.shape[:2]
    new_height = max(height, int(width * size[0] / size[1]))
    new_width = max(width, int(height * size[1] / size[0]))
    top, left = (new_height - height) // 2, (new_width - width) // 2
    padded = np.zeros((new_height, new_width, image.shape[2]), dtype=image.dtype)
    padded[top : top + height, left : left + width] = image
    return padded
