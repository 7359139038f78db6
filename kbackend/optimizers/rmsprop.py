"""RMSprop: steps in units of the root mean square of the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.core import lang
from kbackend.optimizers.optimizer import Optimizer
from kbackend.optimizers.updates import rmsprop_centered_update, rmsprop_update


class RMSprop(Optimizer):
    """Divides the gradient by the root of a moving average of its square.

    `v = rho * v + (1 - rho) * g**2` and `w -= lr * g / sqrt(v + epsilon)`, with momentum if wanted.

    Args:
        learning_rate: number, schedule, Variable or function.
        rho: weight of the past in the average of squares.
        momentum: share of the last step that is kept.
        epsilon: keeps the divisor from 0.
        centered: whether to divide by the gradient's standard deviation instead.
        **kwargs: see `Optimizer`.

    Raises:
        ValueError: an argument has a wrong value.

    Example:
        >>> import kbackend as keras
        >>> w = keras.Variable([1.0])
        >>> _ = RMSprop(learning_rate=0.1).apply([[5.0]], [w])
        >>> w.tolist()
        [0.683772...]

    Reference:
        Hinton, 2012, lecture 6e, http://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
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
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered
        self._velocities: list[Any] = []
        self._momentums: list[Any] = []
        self._average_gradients: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the averages, and the momentums."""
        if self.built:
            return
        super().build(variables)
        kept = self._trainable_variables
        self._velocities = self.add_optimizer_variables(kept, "velocity")
        if self.momentum > 0:
            self._momentums = self.add_optimizer_variables(kept, "momentum")
        if self.centered:
            self._average_gradients = self.add_optimizer_variables(kept, "average_gradient")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        index = self._get_variable_index(variable)
        state = [self._velocities[index]]
        rule = rmsprop_update
        if self.centered:
            state.append(self._average_gradients[index])
            rule = rmsprop_centered_update
        if self.momentum > 0:
            state.append(self._momentums[index])
        self._assign_all(
            [variable, *state],
            rule(
                variable.value, gradient, *[s.value for s in state],
                lang.cast(learning_rate, variable.dtype),
                rho=float(self.rho), momentum=max(float(self.momentum), 0.0), epsilon=self.epsilon,
            ),
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        return {
            **super().get_config(),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }
