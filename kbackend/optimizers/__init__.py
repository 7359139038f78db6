"""Optimizers: what changes a model's weights by their gradients."""

from __future__ import annotations

from typing import Any

from kbackend.base import serialization
from kbackend.optimizers import legacy, schedules
from kbackend.optimizers.adafactor import Adafactor
from kbackend.optimizers.adagrad import Adadelta, Adagrad
from kbackend.optimizers.adam import Adam, AdamW
from kbackend.optimizers.adamax import Adamax
from kbackend.optimizers.ftrl import Ftrl
from kbackend.optimizers.lamb import Lamb
from kbackend.optimizers.lion import Lion
from kbackend.optimizers.loss_scale import LossScaleOptimizer
from kbackend.optimizers.multi import MultiOptimizer, OptimizerMap
from kbackend.optimizers.muon import Muon
from kbackend.optimizers.nadam import Nadam
from kbackend.optimizers.optimizer import Optimizer
from kbackend.optimizers.rmsprop import RMSprop
from kbackend.optimizers.schedule_free import ScheduleFreeAdamW
from kbackend.optimizers.sgd import SGD

_CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW, Adamax, Nadam, Ftrl, Lion, Lamb, Adafactor,
        ScheduleFreeAdamW, Muon, LossScaleOptimizer, MultiOptimizer,
    )
}  # fmt: skip
# Names may be written in any case.
_NAMES = {**{name.lower(): cls for name, cls in _CLASSES.items()}, **_CLASSES}


def serialize(optimizer: Any) -> Any:
    """An optimizer as plain data, as Keras writes it.

    Args:
        optimizer: the optimizer.

    Returns:
        A dict that `deserialize` makes an equal optimizer from.

    Example:
        >>> serialize(SGD())["class_name"]
        'SGD'
    """
    return serialization.serialize(optimizer)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """An optimizer from what `serialize` returned.

    Args:
        config: the data; the class may be named in any case.
        custom_objects: name -> class of the user's.

    Returns:
        The optimizer.

    Raises:
        TypeError: the class is not known.

    Example:
        >>> deserialize({"class_name": "sgd", "config": {"momentum": 0.5}}).momentum
        0.5
    """
    name = config.get("class_name") if isinstance(config, dict) else None
    if isinstance(name, str) and name.lower() in _NAMES and name not in (custom_objects or {}):
        config = {**config, "class_name": _NAMES[name.lower()].__name__}
    return serialization.deserialize(config, custom_objects, _CLASSES)


def get(identifier: Any) -> Any:
    """An optimizer from its name, its config, or itself.

    Args:
        identifier: name in any case ("adam"), config, class, optimizer, or `None`.

    Returns:
        The optimizer; `None` for `None`.

    Raises:
        ValueError: the identifier is none of these.

    Example:
        >>> get("adam").beta_1
        0.9
    """
    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        known = serialization.get_registered_object(identifier, None, _NAMES)
        known = known or _NAMES.get(identifier.lower())
        if known is not None:
            return known() if callable(known) else known
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        made: Any = identifier
        return made()
    raise ValueError(
        f"There is no optimizer {identifier!r}. Pass an Optimizer, a config, or one of: "
        f"{', '.join(_CLASSES)}."
    )


__all__ = [
    "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion",
    "LossScaleOptimizer", "MultiOptimizer", "Muon", "Nadam", "Optimizer", "OptimizerMap", "RMSprop",
    "ScheduleFreeAdamW", "deserialize", "get", "legacy", "schedules", "serialize",
]  # fmt: skip
