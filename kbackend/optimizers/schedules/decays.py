"""Schedules that fall by steps, by a power, or by a factor per so many steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.core import lang, operators
from kbackend.core.convert import to_tensor
from kbackend.optimizers.schedules.learning_rate_schedule import (
    LearningRateSchedule,
    as_float,
    check_steps,
)


class ExponentialDecay(LearningRateSchedule):
    """`initial_learning_rate * decay_rate ** (step / decay_steps)`.

    Args:
        initial_learning_rate: where it starts.
        decay_steps: number of steps for each factor `decay_rate`.
        decay_rate: the factor.
        staircase: whether the quotient is rounded down, so that the rate falls in steps.
        name: name.

    Raises:
        ValueError: `decay_steps` is not positive.

    Example:
        >>> schedule = ExponentialDecay(1.0, decay_steps=10, decay_rate=0.25)
        >>> float(schedule(5))
        0.5
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        check_steps("ExponentialDecay", "decay_steps", decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`."""
        periods = lang.div(as_float(step), float(self.decay_steps))
        if self.staircase:
            periods = lang.floor(periods)
        factor = lang.pow_(float(self.decay_rate), periods)
        return lang.mul(factor, float(self.initial_learning_rate))

    def get_config(self) -> dict[str, Any]:
        """Settings for `from_config`."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class InverseTimeDecay(LearningRateSchedule):
    """`initial_learning_rate / (1 + decay_rate * step / decay_steps)`.

    Args:
        initial_learning_rate: where it starts.
        decay_steps: number of steps for each `decay_rate` in the divisor.
        decay_rate: what is added to the divisor.
        staircase: whether the quotient is rounded down, so that the rate falls in steps.
        name: name.

    Raises:
        ValueError: `decay_steps` is not positive.

    Example:
        >>> schedule = InverseTimeDecay(1.0, decay_steps=10, decay_rate=2.0)
        >>> float(schedule(5))
        0.5
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        check_steps("InverseTimeDecay", "decay_steps", decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`."""
        periods = lang.div(as_float(step), float(self.decay_steps))
        if self.staircase:
            periods = lang.floor(periods)
        divisor = lang.add(lang.mul(periods, float(self.decay_rate)), 1.0)
        return lang.div(float(self.initial_learning_rate), divisor)

    def get_config(self) -> dict[str, Any]:
        """Settings for `from_config`."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class PolynomialDecay(LearningRateSchedule):
    """From `initial_learning_rate` to `end_learning_rate` along a power of the remaining steps.

    Args:
        initial_learning_rate: where it starts.
        decay_steps: number of steps to the end.
        end_learning_rate: where it ends.
        power: the power; 1 is a straight line.
        cycle: whether to go on after the end from a higher rate, with each end twice, three times,
            ... as far as the first, in place of staying there.
        name: name.

    Raises:
        ValueError: `decay_steps` is not positive.

    Example:
        >>> schedule = PolynomialDecay(1.0, decay_steps=10, end_learning_rate=0.0)
        >>> float(schedule(5)), float(schedule(20))
        (0.5, 0.0)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        check_steps("PolynomialDecay", "decay_steps", decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`."""
        done = lang.div(as_float(step), float(self.decay_steps))
        if self.cycle:
            # Step 0 belongs to the first cycle.
            done = lang.div(done, lang.maximum(lang.ceil(done), 1.0))
        else:
            done = lang.minimum(done, 1.0)
        end = float(self.end_learning_rate)
        left = lang.pow_(lang.sub(1.0, done), float(self.power))
        return lang.add(lang.mul(left, float(self.initial_learning_rate) - end), end)

    def get_config(self) -> dict[str, Any]:
        """Settings for `from_config`."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
            "name": self.name,
        }


class PiecewiseConstantDecay(LearningRateSchedule):
    """One value up to and including each boundary, and a last one after them.

    Args:
        boundaries: numbers of steps, ascending.
        values: learning rates, one more than boundaries.
        name: name.

    Raises:
        ValueError: the lengths don't fit, or there is no boundary.

    Example:
        >>> schedule = PiecewiseConstantDecay([100, 200], [1.0, 0.5, 0.25])
        >>> [float(schedule(step)) for step in (100, 101, 1000)]
        [1.0, 0.5, 0.25]
    """

    def __init__(
        self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant"
    ) -> None:
        if not len(boundaries) or len(boundaries) != len(values) - 1:
            raise ValueError(
                "[PiecewiseConstantDecay] there must be boundaries, and one more value than "
                f"boundaries. Received: boundaries={boundaries}, values={values}."
            )
        self.boundaries = boundaries
        self.values = values
        self.name = name

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`."""
        step = to_tensor(step)
        # From the last boundary to the first, so that the first one that holds step decides.
        rate = to_tensor(float(self.values[-1]))
        pairs = list(zip(self.boundaries, self.values[:-1], strict=True))
        for boundary, value in reversed(pairs):
            within = operators.less_equal(step, boundary)
            rate = lang.select(within, to_tensor(float(value)), rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        """Settings for `from_config`."""
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}
