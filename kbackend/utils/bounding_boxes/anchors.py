"""Boxes as differences from anchors, which is what detectors predict."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.utils.bounding_boxes.formats import as_boxes, convert_by_shape

_CODES = ("center_xywh", "center_yxhw")


def _check(name: str, code: str, variance: Any) -> np.ndarray:
    if code not in _CODES:
        raise ValueError(
            f"[bounding_boxes] '{name}' must be 'center_xywh' or 'center_yxhw'. "
            f"Received: {name}={code!r}."
        )
    scale = np.asarray(1.0 if variance is None else variance, dtype="float32")
    if variance is not None and scale.shape != (4,):
        raise ValueError(
            f"[bounding_boxes] 'variance' must have 4 entries. Received: variance={variance!r}."
        )
    return scale


def encode_box_to_deltas(
    anchors: Any,
    boxes: Any,
    anchor_format: str,
    box_format: str,
    encoding_format: str = "center_yxhw",
    variance: Any = None,
    image_shape: tuple[int, ...] | None = None,
) -> np.ndarray:
    """Boxes as differences from their anchors.

    Args:
        anchors: array of shape `(N, 4)`.
        boxes: array of shape `(N, 4)` or `(batch, N, 4)`.
        anchor_format: format of the anchors, as in `convert_format`.
        box_format: format of the boxes.
        encoding_format: order of the differences: `"center_yxhw"` or `"center_xywh"`.
        variance: four numbers to divide the differences by, or `None`.
        image_shape: `(height, width, channels)` of the image, for relative formats.

    Returns:
        Array of the shape of `boxes`: offsets of the centres in units of the anchor's size, and
        logarithms of the ratios of the sizes.

    Raises:
        ValueError: an argument is wrong.

    Example:
        >>> encode_box_to_deltas([[0, 0, 10, 10]], [[5, 0, 15, 10]], "xyxy", "xyxy")
        array([[0. , 0.5, 0. , 0. ]], dtype=float32)
    """
    scale = _check("encoding_format", encoding_format, variance)
    anchor = convert_by_shape(anchors, anchor_format, encoding_format, image_shape)
    box = convert_by_shape(boxes, box_format, encoding_format, image_shape)
    offset = (box[..., :2] - anchor[..., :2]) / anchor[..., 2:]
    growth = np.log(box[..., 2:] / anchor[..., 2:])
    return np.concatenate([offset, growth], axis=-1) / scale


def decode_deltas_to_boxes(
    anchors: Any,
    boxes_delta: Any,
    anchor_format: str,
    box_format: str,
    encoded_format: str = "center_yxhw",
    variance: Any = None,
    image_shape: tuple[int, ...] | None = None,
) -> Any:
    """The boxes that lie so far from their anchors: the reverse of `encode_box_to_deltas`.

    Args:
        anchors: array of shape `(N, 4)`, or a dict of such arrays, one for each level.
        boxes_delta: differences, of shape `(N, 4)` or `(batch, N, 4)`, or a dict likewise.
        anchor_format: format of the anchors, as in `convert_format`.
        box_format: the format wanted.
        encoded_format: order of the differences: `"center_yxhw"` or `"center_xywh"`.
        variance: four numbers to multiply the differences by, or `None`.
        image_shape: `(height, width, channels)` of the image, for relative formats.

    Returns:
        Array of the shape of `boxes_delta`, or a dict of arrays.

    Raises:
        ValueError: an argument is wrong.

    Example:
        >>> decode_deltas_to_boxes([[0, 0, 10, 10]], [[0, 0.5, 0, 0]], "xyxy", "xyxy")
        array([[ 5.,  0., 15., 10.]], dtype=float32)
    """
    scale = _check("encoded_format", encoded_format, variance)
    if isinstance(anchors, dict):
        return {
            level: decode_deltas_to_boxes(
                anchor,
                boxes_delta[level],
                anchor_format,
                box_format,
                encoded_format,
                variance,
                image_shape,
            )
            for level, anchor in anchors.items()
        }
    anchor = convert_by_shape(anchors, anchor_format, encoded_format, image_shape)
    delta = as_boxes(boxes_delta) * scale
    centre = delta[..., :2] * anchor[..., 2:] + anchor[..., :2]
    size = np.exp(delta[..., 2:]) * anchor[..., 2:]
    return convert_by_shape(
        np.concatenate([centre, size], axis=-1), encoded_format, box_format, image_shape
    )
