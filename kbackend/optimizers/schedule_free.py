"""ScheduleFreeAdamW: no schedule of the learning rate is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.core import lang
from kbackend.optimizers.optimizer import Optimizer
from kbackend.optimizers.options import check_fraction, check_not_negative
from kbackend.optimizers.updates import schedule_free_update


class ScheduleFreeAdamW(Optimizer):
    """Adam without momentum on a fast sequence z, whose running mean x takes the schedule's place.

    The gradient is taken at `y = (1 - beta_1) * z + beta_1 * x`, which is what the variables hold.

    Args:
        learning_rate: number, schedule, Variable or function.
        beta_1: share of the mean in the point where the gradient is taken; not 0.
        beta_2: weight of the past in the average of squares.
        epsilon: keeps the divisor from 0.
        warmup_steps: number of steps over which the learning rate grows from 0.
        **kwargs: see `Optimizer`.

    Raises:
        ValueError: an argument has a wrong value.

    Example:
        >>> import kbackend as keras
        >>> w = keras.Variable([1.0])
        >>> _ = ScheduleFreeAdamW(learning_rate=0.1).apply([[5.0]], [w])
        >>> w.tolist()
        [0.9]

    Reference:
        Defazio et al., 2024, https://arxiv.org/abs/2405.15682
    """

    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_fraction("ScheduleFreeAdamW", "beta_1", beta_1)
        check_not_negative("ScheduleFreeAdamW", "warmup_steps", warmup_steps)
        if beta_1 == 0:
            raise ValueError("[ScheduleFreeAdamW] 'beta_1' must be above 0. Received: beta_1=0.")
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
            ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps,
            name, **kwargs,
        )  # fmt: skip
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.warmup_steps = warmup_steps
        self._momentums: list[Any] = []
        self._velocities: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Makes z, which starts where the variables are, and the averages of squares."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            self._trainable_variables, ("momentum", "velocity")
        )
        for z, variable in zip(self._momentums, self._trainable_variables, strict=True):
            if z is not None:
                z.assign(variable.value)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        index = self._get_variable_index(variable)
        z, v = self._momentums[index], self._velocities[index]
        lr = lang.cast(learning_rate, variable.dtype)
        self._assign_all(
            [variable, z, v],
            schedule_free_update(
                variable.value, gradient, z.value, v.value, lr, self._count(),
                beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon,
                warmup_steps=self.warmup_steps,
            ),
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "warmup_steps": self.warmup_steps,
        }
