"""Constraints: projections of weights after each step of an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kbackend.base import serialization
from kbackend.constraints.constraint import Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm

max_norm = MaxNorm
non_neg = NonNeg
unit_norm = UnitNorm
min_max_norm = MinMaxNorm

__all__ = [
    "Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "deserialize", "get",
    "max_norm", "min_max_norm", "non_neg", "serialize", "unit_norm",
]  # fmt: skip

_OBJECTS: dict[str, Any] = {
    name: value for name, value in globals().items() if name in __all__ and isinstance(value, type)
}


def serialize(constraint: Any) -> Any:
    """The config of a constraint.

    Example:
        >>> serialize(NonNeg())["class_name"]
        'NonNeg'
    """
    return serialization.serialize(constraint)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The constraint that a config describes.

    Args:
        config: what `serialize` returned.
        custom_objects: name -> class or function of the user's.

    Raises:
        TypeError: the config names a class that is not known.

    Example:
        >>> type(deserialize({"class_name": "NonNeg", "config": {}})).__name__
        'NonNeg'
    """
    return serialization.deserialize(config, custom_objects, _OBJECTS)


def get(identifier: Any) -> Any:
    """A constraint given as an instance, a class, a name, a config or a function.

    Args:
        identifier: any of these, or `None`, which is returned as it is.

    Raises:
        ValueError: the identifier is none of these.

    Example:
        >>> type(get("max_norm")).__name__
        'MaxNorm'
    """
    return serialization.resolve("constraint", identifier, _OBJECTS)
