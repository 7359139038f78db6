"""`LearningRateSchedule`: a learning rate that depends on the number of steps made."""

from __future__ import annotations

from typing import Any

from kbackend.base import config
from kbackend.core.convert import to_tensor


class LearningRateSchedule:
    """Base of all schedules. A subclass defines `__call__(step)` and `get_config()`.

    Example:
        >>> import kbackend as keras
        >>> class Halving(LearningRateSchedule):
        ...     def __call__(self, step):
        ...         return 0.5 / (1.0 + step)
        >>> float(Halving()(keras.ops.convert_to_tensor(1.0)))
        0.25
    """

    def __call__(self, step: Any) -> Any:
        """The learning rate at a step.

        Args:
            step: number of steps made so far, a 0-d integer tensor, Variable or number.

        Returns:
            A 0-d float tensor.

        Raises:
            NotImplementedError: the subclass does not define it.
        """
        raise NotImplementedError(f"[{type(self).__name__}] a schedule must define __call__(step).")

    def get_config(self) -> dict[str, Any]:
        """Settings that `from_config` makes an equal schedule from.

        Raises:
            NotImplementedError: the subclass does not define it.
        """
        raise NotImplementedError(
            f"[{type(self).__name__}] a schedule must define get_config() to be saved."
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A schedule from what `get_config` returned."""
        return cls(**config)


def as_float(step: Any) -> Any:
    """A number of steps as a tensor of the configured float type."""
    return to_tensor(step, config.floatx())


def check_steps(label: str, name: str, value: Any) -> None:
    """Raises a ValueError unless a number of steps is positive."""
    if value <= 0:
        raise ValueError(f"[{label}] '{name}' must be positive. Received: {name}={value}.")
