"""Lamb: Adam whose steps are in proportion to the size of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.core import lang
from kbackend.optimizers.optimizer import Optimizer
from kbackend.optimizers.updates import lamb_update


class Lamb(Optimizer):
    """Adam with each tensor's step scaled to the norm of the tensor, for large batches.

    Args:
        learning_rate: number, schedule, Variable or function.
        beta_1: weight of the past in the average of gradients.
        beta_2: weight of the past in the average of squares.
        epsilon: keeps the divisor from 0.
        **kwargs: see `Optimizer`.

    Raises:
        ValueError: an argument has a wrong value.

    Example:
        >>> import kbackend as keras
        >>> w = keras.Variable([1.0])
        >>> _ = Lamb(learning_rate=0.1).apply([[5.0]], [w])
        >>> w.tolist()
        [0.9]

    Reference:
        You et al., 2019, https://arxiv.org/abs/1904.00962
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
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
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
            ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps,
            name, **kwargs,
        )  # fmt: skip
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self._momentums: list[Any] = []
        self._velocities: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Makes both averages."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            self._trainable_variables, ("momentum", "velocity")
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        lr = lang.cast(learning_rate, variable.dtype)
        self._assign_all(
            [variable, m, v],
            lamb_update(
                variable.value, gradient, m.value, v.value, lr, self._count(),
                beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon,
            ),
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
