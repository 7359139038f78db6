"""Nadam: Adam with Nesterov momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.core import lang
from kbackend.optimizers.optimizer import Optimizer
from kbackend.optimizers.updates import nadam_update, step_number
from kbackend.state.scopes import name_scope
from kbackend.state.variable import Variable


class Nadam(Optimizer):
    """Adam that looks ahead, as Nesterov's momentum does.

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
        >>> _ = Nadam(learning_rate=0.1).apply([[5.0]], [w])
        >>> w.tolist()
        [0.8937]

    Reference:
        Dozat, 2015, http://cs229.stanford.edu/proj2015/054_report.pdf
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
        with name_scope(self.name):
            self._u_product = Variable(1.0, dtype="float32", trainable=False, name="product")
        self._variables.append(self._u_product)

    def _momentum_at(self, step: Any) -> Any:
        """Weight of the past at a step; it grows to `beta_1` over the first few hundred."""
        return lang.mul(lang.sub(1.0, lang.mul(lang.pow_(0.96, step), 0.5)), self.beta_1)

    def update_steps(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> None:
        """Multiplies this step's weight of the past into their product, then updates."""
        now = self._momentum_at(step_number(self._count(), self._u_product.dtype))
        self._u_product.assign(lang.mul(self._u_product.value, now))
        super().update_steps(gradients, variables, learning_rate)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        dtype = variable.dtype
        step = step_number(self._count(), dtype)
        now, ahead = self._momentum_at(step), self._momentum_at(lang.add(step, 1.0))
        self._assign_all(
            [variable, m, v],
            nadam_update(
                variable.value, gradient, m.value, v.value, lang.cast(learning_rate, dtype), step,
                now, ahead, lang.cast(self._u_product.value, dtype),
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
