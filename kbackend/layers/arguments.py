"""Checks of constructor arguments and input shapes that many layers need."""

from __future__ import annotations

import operator
from typing import Any


def positive_int(layer: str, name: str, value: Any) -> int:
    """`value` as an int.

    Raises:
        ValueError: it is not an integer above zero.

    Example:
        >>> positive_int("Dense", "units", 3)
        3
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number <= 0:
        raise ValueError(
            f"[{layer}] '{name}' must be a positive integer. Received: {name}={value!r}."
        )
    return number


def known_dim(layer: str, shape: Any, axis: int) -> int:
    """The size of a dimension on which weights depend.

    Raises:
        ValueError: it is not known.

    Example:
        >>> known_dim("Dense", (None, 8), -1)
        8
    """
    size = shape[axis] if -len(shape) <= axis < len(shape) else None
    if size is None:
        raise ValueError(
            f"[{layer}] the size of the inputs' axis {axis} must be known to make the weights. "
            f"Received: input_shape={tuple(shape)}."
        )
    return int(size)


def probability(layer: str, name: str, value: Any) -> Any:
    """`value` as it is.

    Raises:
        ValueError: it is not a number in [0, 1].

    Example:
        >>> probability("Dropout", "rate", 0.5)
        0.5
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(
            f"[{layer}] '{name}' must be a number between 0 and 1. Received: {name}={value!r}."
        )
    return value
