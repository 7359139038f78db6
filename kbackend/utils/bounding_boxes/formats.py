"""Formats of boxes, and boxes cut to their image."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.base import dtypes

FORMATS = (
    "xyxy",
    "yxyx",
    "xywh",
    "center_xywh",
    "center_yxhw",
    "rel_xyxy",
    "rel_yxyx",
    "rel_xywh",
    "rel_center_xywh",
)


def _check_format(name: str, given: Any) -> str:
    text = str(given).lower()
    if text not in FORMATS:
        raise ValueError(
            f"[bounding_boxes] '{name}' must be one of {', '.join(FORMATS)}. "
            f"Received: {name}={given!r}."
        )
    return text


def as_boxes(boxes: Any, dtype: str | None = "float32") -> np.ndarray:
    """The boxes as an array of floats whose last axis has the size 4."""
    array = np.asarray(boxes)
    if dtype is not None:
        array = array.astype(dtypes.numpy_dtype(dtypes.standardize_dtype(dtype)))
    elif array.dtype.kind != "f":
        array = array.astype("float32")
    if array.ndim == 0 or array.shape[-1] != 4:
        raise ValueError(
            "[bounding_boxes] the last axis of the boxes must have the size 4. "
            f"Received: shape={array.shape}."
        )
    return array


def _to_xyxy(boxes: np.ndarray, source: str) -> np.ndarray:
    a, b, c, d = (boxes[..., i] for i in range(4))
    if source == "xyxy":
        return boxes
    if source == "yxyx":
        parts = (b, a, d, c)
    elif source == "xywh":
        parts = (a, b, a + c, b + d)
    else:
        x, y, width, height = (b, a, d, c) if source == "center_yxhw" else (a, b, c, d)
        parts = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return np.stack(parts, axis=-1)


def _from_xyxy(boxes: np.ndarray, target: str) -> np.ndarray:
    left, top, right, bottom = (boxes[..., i] for i in range(4))
    if target == "xyxy":
        return boxes
    if target == "yxyx":
        parts = (top, left, bottom, right)
    elif target == "xywh":
        parts = (left, top, right - left, bottom - top)
    else:
        centre_x, centre_y = (left + right) / 2, (top + bottom) / 2
        parts = (centre_x, centre_y, right - left, bottom - top)
        if target == "center_yxhw":
            parts = (parts[1], parts[0], parts[3], parts[2])
    return np.stack(parts, axis=-1)


def convert_format(
    boxes: Any,
    source: str,
    target: str,
    height: float | None = None,
    width: float | None = None,
    dtype: str | None = "float32",
) -> Any:
    """Boxes in another format.

    The formats are `xyxy` (left, top, right, bottom), `yxyx`, `xywh` (left, top, width, height),
    `center_xywh` and `center_yxhw`; with `rel_` before them (all but the last) lengths are
    fractions of the image's size. Upper and lower case are the same.

    Args:
        boxes: array whose last axis has the size 4, or a dict with such an array as `boxes`.
        source: their format.
        target: the format wanted.
        height: height of the image; needed where one of the formats is relative.
        width: width of the image, likewise.
        dtype: float type of the result; `None` keeps that of the boxes.

    Returns:
        Array of the shape of the boxes, or a dict like the one given.

    Raises:
        ValueError: a format is unknown, the shape is wrong, or the image's size is missing.

    Example:
        >>> convert_format([[10, 20, 30, 60]], source="xyxy", target="xywh")
        array([[10., 20., 20., 40.]], dtype=float32)
    """
    source, target = _check_format("source", source), _check_format("target", target)
    relative = source.startswith("rel_") or target.startswith("rel_")
    if relative and (height is None or width is None):
        raise ValueError(
            "[bounding_boxes] relative formats need 'height' and 'width' of the image. "
            f"Received: source={source!r}, target={target!r}, height={height}, width={width}."
        )
    if isinstance(boxes, dict):
        return {
            **boxes,
            "boxes": convert_format(boxes["boxes"], source, target, height, width, dtype),
        }
    array = _to_xyxy(as_boxes(boxes, dtype), source.removeprefix("rel_"))
    if relative and source.startswith("rel_") != target.startswith("rel_"):
        size = np.array([width, height, width, height], dtype=array.dtype)
        array = array * size if source.startswith("rel_") else array / size
    return _from_xyxy(array, target.removeprefix("rel_"))


def clip_to_image_size(
    bounding_boxes: Any,
    height: float | None = None,
    width: float | None = None,
    bounding_box_format: str = "xyxy",
) -> dict[str, Any]:
    """Boxes cut to their image. Boxes of which nothing is left get the label -1.

    Args:
        bounding_boxes: a dict with the arrays `boxes`, of shape `(..., 4)`, and `labels`.
        height: height of the image; not needed for relative formats.
        width: width of the image, likewise.
        bounding_box_format: one of the formats of `convert_format`.

    Returns:
        A dict like the one given.

    Raises:
        ValueError: the format is unknown, or the image's size is missing.

    Example:
        >>> boxes = {"boxes": [[-10, 20, 50, 80], [90, 90, 95, 95]], "labels": [3, 4]}
        >>> clip_to_image_size(boxes, height=60, width=60)["labels"]
        array([ 3, -1])
    """
    kind = _check_format("bounding_box_format", bounding_box_format)
    if kind.startswith("rel_"):
        height = width = 1.0
    if height is None or width is None:
        raise ValueError(
            "[clip_to_image_size] 'height' and 'width' of the image are needed for the format "
            f"{kind!r}. Received: height={height}, width={width}."
        )
    plain = kind.removeprefix("rel_")
    boxes = _to_xyxy(as_boxes(bounding_boxes["boxes"]), plain)
    limits = np.array([width, height, width, height], dtype=boxes.dtype)
    boxes = np.clip(boxes, 0, limits)
    left = ((boxes[..., 2:] - boxes[..., :2]) > 0).all(axis=-1)
    labels = np.where(left, np.asarray(bounding_boxes["labels"]), -1)
    boxes = _from_xyxy(boxes, plain)
    return {**bounding_boxes, "boxes": boxes.astype("float32", copy=False), "labels": labels}


def convert_by_shape(
    boxes: Any, source: str, target: str, image_shape: tuple[int, ...] | None
) -> np.ndarray:
    """Like `convert_format`, the image's size being the first two entries of a shape."""
    if image_shape is None and (source.startswith("rel") or target.startswith("rel")):
        raise ValueError(
            "[bounding_boxes] relative formats need 'image_shape' (height, width, channels). "
            f"Received: image_shape=None with {source!r} and {target!r}."
        )
    height, width = (None, None) if image_shape is None else image_shape[:2]
    return convert_format(as_boxes(boxes), source, target, height, width)
