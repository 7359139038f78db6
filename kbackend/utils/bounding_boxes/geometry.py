"""Boxes that follow their image when it is cut, padded or transformed."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.utils.bounding_boxes.formats import convert_format


def crop(
    boxes: Any,
    top: float,
    left: float,
    height: float,
    width: float,
    bounding_box_format: str = "xyxy",
) -> np.ndarray:
    """The boxes as they lie in a part of the image.

    Args:
        boxes: array of shape `(..., 4)`.
        top: upper edge of the part.
        left: left edge of the part.
        height: height of the part.
        width: width of the part.
        bounding_box_format: a format of `convert_format`, not a relative one.

    Returns:
        Array of the shape of `boxes`, cut to the part.

    Raises:
        ValueError: the format is unknown or relative.

    Example:
        >>> crop([[10, 20, 50, 60]], top=10, left=20, height=40, width=30)
        array([[ 0., 10., 30., 40.]], dtype=float32)
    """
    moved = convert_format(boxes, bounding_box_format, "xyxy")
    moved = moved - np.array([left, top, left, top], dtype=moved.dtype)
    cut = np.clip(moved, 0, np.array([width, height, width, height], dtype=moved.dtype))
    return convert_format(cut, "xyxy", bounding_box_format)


def pad(
    boxes: Any,
    top: float,
    left: float,
    height: float | None = None,
    width: float | None = None,
    bounding_box_format: str = "xyxy",
) -> np.ndarray:
    """The boxes as they lie in an image that got borders above and to the left.

    Args:
        boxes: array of shape `(..., 4)`.
        top: height of the border above.
        left: width of the border to the left.
        height: height of the image; needed for relative formats.
        width: width of the image, likewise.
        bounding_box_format: a format of `convert_format`.

    Returns:
        Array of the shape of `boxes`; relative ones are still relative to `height` and `width`.

    Raises:
        ValueError: the format is unknown, or the image's size is missing.

    Example:
        >>> pad([[10, 20, 50, 60]], top=1, left=2)
        array([[12., 21., 52., 61.]], dtype=float32)
    """
    moved = convert_format(boxes, bounding_box_format, "xyxy", height, width)
    moved = moved + np.array([left, top, left, top], dtype=moved.dtype)
    return convert_format(moved, "xyxy", bounding_box_format, height, width)


def affine_transform(
    boxes: Any,
    angle: Any,
    translate_x: Any,
    translate_y: Any,
    scale: Any,
    shear_x: Any,
    shear_y: Any,
    height: float,
    width: float,
    center_x: Any = None,
    center_y: Any = None,
    bounding_box_format: str = "xyxy",
) -> np.ndarray:
    """The upright boxes around boxes that were moved, turned, slanted and scaled.

    Args:
        boxes: array of shape `(boxes, 4)` or `(batch, boxes, 4)`.
        angle: degrees to turn by, counter-clockwise as seen on the screen. This and the following
            are numbers, or arrays with one number for each image of the batch.
        translate_x: shift to the right, as a fraction of the width.
        translate_y: shift downwards, as a fraction of the height.
        scale: factor.
        shear_x: degrees by which vertical lines are slanted.
        shear_y: degrees by which horizontal lines are slanted.
        height: height of the image.
        width: width of the image.
        center_x: the point that stays in place, as a fraction of the width; by default 0.5.
        center_y: likewise of the height.
        bounding_box_format: a format of `convert_format`.

    Returns:
        Array of the shape of `boxes`.

    Raises:
        ValueError: the format is unknown.

    Example:
        >>> affine_transform([[10, 20, 30, 50]], 0, 0, 0, 2, 0, 0, 100, 200, 0, 0)
        array([[ 20.,  40.,  60., 100.]], dtype=float32)
    """
    corners = convert_format(boxes, bounding_box_format, "xyxy", height, width)
    left, top, right, bottom = (corners[..., i].astype("float64") for i in range(4))

    def column(value: Any) -> np.ndarray:
        # One number for each image stands before the axis of the boxes.
        array = np.asarray(value, dtype="float64")
        return array[..., None, None] if array.ndim else array

    span_x, span_y = width - 1, height - 1  # pixels lie at whole numbers, from 0
    middle_x = column(0.5 if center_x is None else center_x) * span_x
    middle_y = column(0.5 if center_y is None else center_y) * span_y
    x = np.stack([left, right, left, right], axis=-1)
    y = np.stack([top, top, bottom, bottom], axis=-1)
    x = x - middle_x + column(translate_x) * span_x
    y = y - middle_y + column(translate_y) * span_y
    cos, sin = np.cos(np.deg2rad(column(angle))), np.sin(np.deg2rad(column(angle)))
    slant_x, slant_y = np.tan(np.deg2rad(column(shear_x))), np.tan(np.deg2rad(column(shear_y)))
    # Coefficients of x and y in the turned and slanted y. Its part of x enters the new x with the
    # opposite sign, as in Keras, whose results these are meant to equal.
    y_of_x, y_of_y = slant_y * cos - sin, slant_y * sin + cos
    new_x = column(scale) * (cos * x + sin * y + slant_x * (y_of_y * y - y_of_x * x)) + middle_x
    new_y = column(scale) * (y_of_x * x + y_of_y * y) + middle_y
    turned = np.stack(
        [new_x.min(axis=-1), new_y.min(axis=-1), new_x.max(axis=-1), new_y.max(axis=-1)], axis=-1
    )
    return convert_format(turned, "xyxy", bounding_box_format, height, width)
