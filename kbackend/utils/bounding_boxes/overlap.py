"""How much boxes overlap."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.base import config
from kbackend.utils.bounding_boxes.formats import as_boxes, convert_by_shape


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _intersections(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.maximum(sides, 0).prod(axis=-1)


def compute_iou(
    boxes1: Any,
    boxes2: Any,
    bounding_box_format: str,
    use_masking: bool = False,
    mask_val: float = -1,
    image_shape: tuple[int, ...] | None = None,
) -> np.ndarray:
    """Intersection over union of every box with every other.

    Args:
        boxes1: array of shape `(M, 4)` or `(batch, M, 4)`.
        boxes2: array of shape `(N, 4)` or `(batch, N, 4)`.
        bounding_box_format: a format of `convert_format`.
        use_masking: whether boxes whose four numbers are all negative are padding.
        mask_val: the result for padding.
        image_shape: `(height, width, channels)` of the image, for relative formats.

    Returns:
        Array of shape `(M, N)`, or `(batch, M, N)` where one of the two is batched.

    Raises:
        ValueError: a shape or the format is wrong.

    Example:
        >>> compute_iou([[0, 0, 10, 10]], [[0, 0, 10, 5], [20, 20, 30, 30]], "xyxy")
        array([[0.5, 0. ]], dtype=float32)
    """
    given = [as_boxes(boxes1), as_boxes(boxes2)]
    for name, boxes in zip(("boxes1", "boxes2"), given, strict=True):
        if boxes.ndim not in (2, 3):
            raise ValueError(
                f"[compute_iou] '{name}' must have the shape (boxes, 4) or (batch, boxes, 4). "
                f"Received: shape={boxes.shape}."
            )
    first, second = (
        convert_by_shape(
            boxes,
            bounding_box_format,
            "rel_xyxy" if bounding_box_format.lower().startswith("rel") else "xyxy",
            image_shape,
        )
        for boxes in given
    )
    a, b = first[..., :, None, :], second[..., None, :, :]
    shared = _intersections(a, b)
    union = _areas(a) + _areas(b) - shared
    overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    if use_masking:
        hidden1, hidden2 = (np.all(boxes < 0, axis=-1, keepdims=True) for boxes in given)
        padding = hidden1 | np.swapaxes(hidden2, -1, -2)
        overlap = np.where(padding, np.asarray(mask_val, dtype=overlap.dtype), overlap)
    return overlap


def compute_ciou(
    boxes1: Any,
    boxes2: Any,
    bounding_box_format: str,
    image_shape: tuple[int, ...] | None = None,
) -> np.ndarray:
    """Complete intersection over union of pairs of boxes.

    Beside the overlap it tells how far the centres lie apart and how the proportions differ.

    Args:
        boxes1: array of shape `(..., 4)`.
        boxes2: array of shape `(..., 4)`.
        bounding_box_format: a format of `convert_format`.
        image_shape: `(height, width, channels)` of the image, for relative formats.

    Returns:
        Array of shape `(...)`: 1 for equal boxes, less for others, down to -1.5.

    Raises:
        ValueError: a shape or the format is wrong.

    Reference:
        Zheng et al., 2020. Distance-IoU loss: faster and better learning for bounding box
        regression. https://arxiv.org/abs/1911.08287

    Example:
        >>> compute_ciou([[0, 0, 10, 10]], [[0, 0, 10, 10]], "xyxy").round(3)
        array([1.], dtype=float32)
    """
    a, b = (
        convert_by_shape(boxes, bounding_box_format, "xyxy", image_shape)
        for boxes in (boxes1, boxes2)
    )
    tiny = np.float32(config.epsilon())
    size_a, size_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    shared = _intersections(a, b)
    overlap = shared / (_areas(a) + _areas(b) - shared + tiny)
    hull = np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    distance = (apart**2).sum(axis=-1) / ((hull**2).sum(axis=-1) + tiny)
    slant_a, slant_b = (np.arctan(s[..., 0] / (s[..., 1] + tiny)) for s in (size_a, size_b))
    aspect = np.float32(4 / np.pi**2) * (slant_a - slant_b) ** 2
    weight = aspect / (1 - overlap + aspect + tiny)
    return overlap - distance - weight * aspect
