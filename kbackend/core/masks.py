"""The mask that a layer attached to its output: which time steps (or places) are real."""

from __future__ import annotations

from typing import Any

from kbackend.base import tree


def get_keras_mask(x: Any) -> Any:
    """The mask of a tensor, or `None`."""
    return getattr(x, "_keras_mask", None)


def set_keras_mask(x: Any, mask: Any) -> None:
    """Attaches `mask` to the tensor `x`."""
    x._keras_mask = mask


def has_mask(x: Any) -> bool:
    """Whether a mask is attached to `x`."""
    return getattr(x, "_keras_mask", None) is not None


def masks_of(structure: Any) -> Any:
    """The masks of a structure of tensors, in a like structure; `None` if none has one."""
    if not tree.is_nested(structure):
        return get_keras_mask(structure)
    masks = tree.map_structure(get_keras_mask, structure)
    return None if all(mask is None for mask in tree.iter_leaves(masks)) else masks


def flat_masks(masks: Any, count: int) -> list[Any]:
    """Masks as a list, one for each of `count` tensors."""
    return list(tree.flatten(masks)) if tree.is_nested(masks) else [masks] * min(count, 1)
