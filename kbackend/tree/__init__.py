"""Nested structures: lists, tuples and dicts of leaves, as `keras.tree` handles them."""

from kbackend.base.tree import flatten, is_nested, lists_to_tuples
from kbackend.tree.mapping import (
    MAP_TO_NONE,
    map_shape_structure,
    map_structure,
    map_structure_up_to,
    pack_sequence_as,
    traverse,
)
from kbackend.tree.paths import assert_same_paths, assert_same_structure, flatten_with_path

__all__ = [
    "MAP_TO_NONE", "assert_same_paths", "assert_same_structure", "flatten", "flatten_with_path",
    "is_nested", "lists_to_tuples", "map_shape_structure", "map_structure", "map_structure_up_to",
    "pack_sequence_as", "traverse",
]  # fmt: skip
