"""`keras.ops.image`: resampling, cutting, colours, filters."""

from kbackend.ops.image.color import hsv_to_rgb, rgb_to_grayscale, rgb_to_hsv
from kbackend.ops.image.filters import gaussian_blur, sobel_edges, ssim
from kbackend.ops.image.frames import (
    crop_images,
    extract_patches,
    extract_patches_3d,
    pad_images,
)
from kbackend.ops.image.geometry import (
    affine_transform,
    elastic_transform,
    map_coordinates,
    perspective_transform,
)
from kbackend.ops.image.resizing import resize, scale_and_translate

__all__ = [
    "affine_transform", "crop_images", "elastic_transform", "extract_patches",
    "extract_patches_3d", "gaussian_blur", "hsv_to_rgb", "map_coordinates", "pad_images",
    "perspective_transform", "resize", "rgb_to_grayscale", "rgb_to_hsv", "scale_and_translate",
    "sobel_edges", "ssim",
]  # fmt: skip
