"""Learning rates that change with the number of steps made."""

from __future__ import annotations

from typing import Any

from kbackend.base import serialization
from kbackend.optimizers.schedules.cosine import CosineDecay, CosineDecayRestarts
from kbackend.optimizers.schedules.decays import (
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)
from kbackend.optimizers.schedules.learning_rate_schedule import LearningRateSchedule

_CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay,
        PiecewiseConstantDecay, PolynomialDecay,
    )
}  # fmt: skip


def serialize(learning_rate_schedule: Any) -> Any:
    """A schedule as plain data, as Keras writes it.

    Args:
        learning_rate_schedule: the schedule.

    Returns:
        A dict that `deserialize` makes an equal schedule from.

    Example:
        >>> serialize(CosineDecay(0.1, 100))["class_name"]
        'CosineDecay'
    """
    return serialization.serialize(learning_rate_schedule)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """A schedule from what `serialize` returned.

    Args:
        config: the data.
        custom_objects: name -> class of the user's.

    Returns:
        The schedule.

    Raises:
        TypeError: the class is not known.

    Example:
        >>> deserialize(serialize(CosineDecay(0.1, 100))).decay_steps
        100
    """
    return serialization.deserialize(config, custom_objects, _CLASSES)


__all__ = [
    "CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay",
    "LearningRateSchedule", "PiecewiseConstantDecay", "PolynomialDecay", "deserialize", "serialize",
]  # fmt: skip
