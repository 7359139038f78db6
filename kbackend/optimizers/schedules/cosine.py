"""Schedules that fall along half a cosine wave."""

from __future__ import annotations

import math
from typing import Any

from kbackend.core import lang
from kbackend.optimizers.schedules.learning_rate_schedule import (
    LearningRateSchedule,
    as_float,
    check_steps,
)


def _wave(done: Any) -> Any:
    """From 1 to 0 along half a cosine wave while `done` goes from 0 to 1."""
    return lang.mul(lang.add(lang.cos(lang.mul(done, math.pi)), 1.0), 0.5)


class CosineDecay(LearningRateSchedule):
    """Half a cosine wave, after a linear warmup if wanted.

    Args:
        initial_learning_rate: where it starts.
        decay_steps: number of steps of the fall, after the warmup.
        alpha: where it ends, as a fraction of where the fall starts.
        name: name.
        warmup_target: where the warmup ends and the fall starts; `None`: no warmup.
        warmup_steps: number of steps of the warmup.

    Raises:
        ValueError: `decay_steps` is not positive.

    Example:
        >>> schedule = CosineDecay(0.0, decay_steps=10, warmup_target=1.0, warmup_steps=2)
        >>> [round(float(schedule(step)), 6) for step in (0, 1, 2, 7, 12)]
        [0.0, 0.5, 1.0, 0.5, 0.0]

    Reference:
        Loshchilov and Hutter, 2016, https://arxiv.org/abs/1608.03983
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        check_steps("CosineDecay", "decay_steps", decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`."""
        step = as_float(step)
        start = float(self.initial_learning_rate)
        if self.warmup_target is None:
            return self._fall(step, start)
        target, steps = float(self.warmup_target), float(self.warmup_steps)
        fall = self._fall(lang.sub(step, steps), target)
        if not steps:
            return fall
        rise = lang.add(lang.mul(lang.div(step, steps), target - start), start)
        return lang.select(lang.lt(step, steps), rise, fall)

    def _fall(self, step: Any, start: float) -> Any:
        done = lang.minimum(lang.div(step, float(self.decay_steps)), 1.0)
        alpha = float(self.alpha)
        return lang.mul(lang.add(lang.mul(_wave(done), 1.0 - alpha), alpha), start)

    def get_config(self) -> dict[str, Any]:
        """Settings for `from_config`."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "name": self.name,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }


class CosineDecayRestarts(LearningRateSchedule):
    """Falls along half a cosine wave, again and again.

    Args:
        initial_learning_rate: where the first period starts.
        first_decay_steps: number of steps of the first period.
        t_mul: length of each period, as a multiple of the one before.
        m_mul: start of each period, as a multiple of the one before's.
        alpha: where a period ends, as a fraction of `initial_learning_rate`.
        name: name.

    Raises:
        ValueError: `first_decay_steps` is not positive.

    Example:
        >>> schedule = CosineDecayRestarts(1.0, first_decay_steps=10, t_mul=1.0, m_mul=0.5)
        >>> [round(float(schedule(step)), 6) for step in (0, 5, 10, 15)]
        [1.0, 0.5, 0.5, 0.25]

    Reference:
        Loshchilov and Hutter, 2016, https://arxiv.org/abs/1608.03983
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        check_steps("CosineDecayRestarts", "first_decay_steps", first_decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self._t_mul = t_mul
        self._m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`."""
        done = lang.div(as_float(step), float(self.first_decay_steps))
        ratio, alpha = float(self._t_mul), float(self.alpha)
        if ratio == 1.0:
            period = lang.floor(done)
            within = lang.sub(done, period)
        else:
            # The periods' lengths are a geometric series.
            grown = lang.add(lang.mul(done, ratio - 1.0), 1.0)
            period = lang.floor(lang.div(lang.log(grown), math.log(ratio)))
            length = lang.pow_(ratio, period)
            before = lang.div(lang.sub(1.0, length), 1.0 - ratio)
            within = lang.div(lang.sub(done, before), length)
        height = lang.mul(_wave(within), lang.pow_(float(self._m_mul), period))
        return lang.mul(
            lang.add(lang.mul(height, 1.0 - alpha), alpha), float(self.initial_learning_rate)
        )

    def get_config(self) -> dict[str, Any]:
        """Settings for `from_config`."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "first_decay_steps": self.first_decay_steps,
            "t_mul": self._t_mul,
            "m_mul": self._m_mul,
            "alpha": self.alpha,
            "name": self.name,
        }
