"""Checks of the settings that all optimizers share."""

from __future__ import annotations

import numbers
import warnings
from typing import Any

import numpy as np


def is_number(value: Any) -> bool:
    """Whether `value` is a Python or NumPy real number."""
    return isinstance(value, (numbers.Real, np.generic)) and not isinstance(value, (bool, np.bool_))


def take_classic_arguments(label: str, kwargs: dict[str, Any], learning_rate: Any) -> Any:
    """The learning rate, from `lr` if that was given; nothing else may be left in `kwargs`."""
    rest = dict(kwargs)
    if "lr" in rest:
        warnings.warn(
            f"[{label}] 'lr' is the classic name of 'learning_rate'.",
            DeprecationWarning,
            stacklevel=4,
        )
        learning_rate = rest.pop("lr")
    if rest.pop("decay", None):
        warnings.warn(
            f"[{label}] 'decay' is ignored. Pass a schedule as the learning rate instead, such as "
            "schedules.InverseTimeDecay.",
            stacklevel=4,
        )
    if rest:
        raise ValueError(f"[{label}] unknown arguments: {', '.join(rest)}.")
    return learning_rate


def check_options(optimizer: Any, ema_overwrite_frequency: Any) -> None:
    """Raises a ValueError for settings of an optimizer that are wrong or exclude each other."""
    label = type(optimizer).__name__
    limits = {
        name: getattr(optimizer, name) for name in ("clipnorm", "clipvalue", "global_clipnorm")
    }
    if sum(limit is not None for limit in limits.values()) > 1:
        received = ", ".join(f"{name}={value}" for name, value in limits.items())
        raise ValueError(
            f"[{label}] only one of 'clipnorm', 'clipvalue' and 'global_clipnorm' can be set. "
            f"Received: {received}."
        )
    for name in ("clipnorm", "clipvalue", "global_clipnorm", "weight_decay", "loss_scale_factor"):
        value = getattr(optimizer, name)
        if value is not None and not is_number(value):
            raise ValueError(f"[{label}] '{name}' must be a number or None. Received: {value!r}.")
    if optimizer.use_ema:
        check_fraction(label, "ema_momentum", optimizer.ema_momentum)
        every = ema_overwrite_frequency
        if every is not None and (not isinstance(every, int) or every < 1):
            raise ValueError(
                f"[{label}] 'ema_overwrite_frequency' must be a positive integer or None. "
                f"Received: ema_overwrite_frequency={every!r}."
            )
    steps = optimizer.gradient_accumulation_steps
    if steps is not None and (not isinstance(steps, int) or steps < 2) and steps != 0:
        raise ValueError(
            f"[{label}] 'gradient_accumulation_steps' must be an integer of at least 2, or None. "
            f"Received: gradient_accumulation_steps={steps!r}."
        )


def check_fraction(label: str, name: str, value: Any) -> None:
    """Raises a ValueError unless `value` is a number from 0 to 1."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"[{label}] '{name}' must be between 0 and 1. Received: {name}={value!r}.")


def check_not_negative(label: str, name: str, value: Any) -> None:
    """Raises a ValueError unless `value` is a number from 0 up."""
    if not is_number(value) or value < 0:
        raise ValueError(f"[{label}] '{name}' must not be negative. Received: {name}={value!r}.")
