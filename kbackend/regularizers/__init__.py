"""Regularizers: penalties on weights and outputs that are added to the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kbackend.base import serialization
from kbackend.regularizers.regularizer import L1, L1L2, L2, OrthogonalRegularizer, Regularizer

l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer

__all__ = [
    "L1", "L1L2", "L2", "OrthogonalRegularizer", "Regularizer", "deserialize", "get", "l1",
    "l1_l2", "l2", "orthogonal_regularizer", "serialize",
]  # fmt: skip

_OBJECTS: dict[str, Any] = {
    **{
        name: value
        for name, value in globals().items()
        if name in __all__ and isinstance(value, type)
    },
    "l1l2": L1L2,
}


def serialize(regularizer: Any) -> Any:
    """The config of a regularizer.

    Example:
        >>> serialize(L2())["class_name"]
        'L2'
    """
    return serialization.serialize(regularizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The regularizer that a config describes.

    Args:
        config: what `serialize` returned.
        custom_objects: name -> class or function of the user's.

    Raises:
        TypeError: the config names a class that is not known.

    Example:
        >>> type(deserialize({"class_name": "L2", "config": {}})).__name__
        'L2'
    """
    return serialization.deserialize(config, custom_objects, _OBJECTS)


def get(identifier: Any) -> Any:
    """A regularizer given as an instance, a class, a name, a config or a function.

    Args:
        identifier: any of these, or `None`, which is returned as it is.

    Raises:
        ValueError: the identifier is none of these.

    Example:
        >>> type(get("l1")).__name__
        'L1'
    """
    return serialization.resolve("regularizer", identifier, _OBJECTS)
