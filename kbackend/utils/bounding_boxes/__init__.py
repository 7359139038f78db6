"""Boxes around things in images: formats, overlap, anchors, transformations (on NumPy arrays)."""

from kbackend.utils.bounding_boxes.anchors import decode_deltas_to_boxes, encode_box_to_deltas
from kbackend.utils.bounding_boxes.formats import clip_to_image_size, convert_format
from kbackend.utils.bounding_boxes.geometry import affine_transform, crop, pad
from kbackend.utils.bounding_boxes.overlap import compute_ciou, compute_iou

__all__ = [
    "affine_transform",
    "clip_to_image_size",
    "compute_ciou",
    "compute_iou",
    "convert_format",
    "crop",
    "decode_deltas_to_boxes",
    "encode_box_to_deltas",
    "pad",
]
