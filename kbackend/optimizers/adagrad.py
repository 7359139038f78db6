"""Adagrad and Adadelta: steps in units of the gradients seen so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.core import lang
from kbackend.optimizers.optimizer import Optimizer
from kbackend.optimizers.updates import adadelta_update, adagrad_update


class Adagrad(Optimizer):
    """Divides the gradient by the root of the sum of all its squares.

    `a += g**2` and `w -= lr * g / sqrt(a + epsilon)`.

    Parameters that are rarely updated get greater steps.

    Args:
        learning_rate: number, schedule, Variable or function.
        initial_accumulator_value: what the sum of squares starts from.
        epsilon: keeps the divisor from 0.
        **kwargs: see `Optimizer`.

    Raises:
        ValueError: an argument has a wrong value.

    Example:
        >>> import kbackend as keras
        >>> w = keras.Variable([1.0])
        >>> _ = Adagrad(learning_rate=0.1).apply([[5.0]], [w])
        >>> w.tolist()
        [0.900199...]

    Reference:
        Duchi et al., 2011, https://www.jmlr.org/papers/v12/duchi11a.html
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
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
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon
        self._accumulators: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the sums of squares."""
        if self.built:
            return
        super().build(variables)
        start = self.initial_accumulator_value
        self._accumulators = self.add_optimizer_variables(
            self._trainable_variables,
            "accumulator",
            lambda shape, dtype: lang.full(shape, start, dtype),
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        a = self._accumulators[self._get_variable_index(variable)]
        lr = lang.cast(learning_rate, variable.dtype)
        self._assign_all(
            [variable, a],
            adagrad_update(variable.value, gradient, a.value, lr, epsilon=self.epsilon),
        )

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        return {
            **super().get_config(),
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }


class Adadelta(Optimizer):
    """Adagrad over a window: steps in units of the recent steps over the recent gradients.

    `w -= lr * sqrt(d + epsilon) / sqrt(a + epsilon) * g`, with moving averages of the squares of
    the steps (d) and of the gradients (a).

    Args:
        learning_rate: number, schedule, Variable or function.
        rho: weight of the past in the averages.
        epsilon: keeps both from 0.
        **kwargs: see `Optimizer`.

    Raises:
        ValueError: an argument has a wrong value.

    Example:
        >>> import kbackend as keras
        >>> w = keras.Variable([1.0])
        >>> _ = Adadelta(learning_rate=1.0).apply([[5.0]], [w])
        >>> w.tolist()
        [0.998585...]

    Reference:
        Zeiler, 2012, https://arxiv.org/abs/1212.5701
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
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
        self.rho = rho
        self.epsilon = epsilon
        self._accumulated_grads: list[Any] = []
        self._accumulated_delta_vars: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Makes both averages."""
        if self.built:
            return
        super().build(variables)
        self._accumulated_grads, self._accumulated_delta_vars = self.add_optimizer_variables(
            self._trainable_variables, ("accumulated_grad", "accumulated_delta_var")
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        index = self._get_variable_index(variable)
        a, d = self._accumulated_grads[index], self._accumulated_delta_vars[index]
        lr = lang.cast(learning_rate, variable.dtype)
        self._assign_all(
            [variable, a, d],
            adadelta_update(
                variable.value, gradient, a.value, d.value, lr,
                rho=float(self.rho), epsilon=self.epsilon,
            ),
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        return {
            **super().get_config(),
            "rho": self.rho,
            "epsilon": self.epsilon,
        }
