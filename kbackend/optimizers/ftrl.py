"""Ftrl: follow the regularised leader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.core import lang
from kbackend.optimizers.optimizer import Optimizer
from kbackend.optimizers.options import check_not_negative
from kbackend.optimizers.updates import ftrl_update


class Ftrl(Optimizer):
    """Follows the regularised leader: sparse weights for linear models with many features.

    Args:
        learning_rate: number, schedule, Variable or function.
        learning_rate_power: how fast the learning rate falls with the squares of the gradients; not
            above 0. 0 keeps it.
        initial_accumulator_value: what the sum of squares starts from.
        l1_regularization_strength: weight of the sum of absolute values; makes weights 0.
        l2_regularization_strength: weight of the sum of squares, which shrinks weights.
        l2_shrinkage_regularization_strength: the same as part of the loss, growing with each step.
        beta: added to the roots of the sums of squares.
        **kwargs: see `Optimizer`.

    Raises:
        ValueError: an argument has a wrong value.

    Example:
        >>> import kbackend as keras
        >>> w = keras.Variable([1.0])
        >>> _ = Ftrl(learning_rate=0.1, initial_accumulator_value=0.0).apply([[5.0]], [w])
        >>> w.tolist()
        [0.9]

    Reference:
        McMahan et al., 2013, https://research.google.com/pubs/archive/41159.pdf
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
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
        if learning_rate_power > 0:
            raise ValueError(
                "[Ftrl] 'learning_rate_power' must not be above 0. Received: "
                f"learning_rate_power={learning_rate_power}."
            )
        for label, value in (
            ("initial_accumulator_value", initial_accumulator_value),
            ("l1_regularization_strength", l1_regularization_strength),
            ("l2_regularization_strength", l2_regularization_strength),
            ("l2_shrinkage_regularization_strength", l2_shrinkage_regularization_strength),
        ):
            check_not_negative("Ftrl", label, value)
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
            ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps,
            name, **kwargs,
        )  # fmt: skip
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta
        self._accumulators: list[Any] = []
        self._linears: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the sums of squares and the linear terms."""
        if self.built:
            return
        super().build(variables)
        start = self.initial_accumulator_value
        self._accumulators, self._linears = self.add_optimizer_variables(
            self._trainable_variables,
            ("accumulator", "linear"),
            (lambda shape, dtype: lang.full(shape, start, dtype), "zeros"),
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        index = self._get_variable_index(variable)
        a, z = self._accumulators[index], self._linears[index]
        lr = lang.cast(learning_rate, variable.dtype)
        self._assign_all(
            [variable, a, z],
            ftrl_update(
                variable.value, gradient, a.value, z.value, lr,
                power=float(self.learning_rate_power), l1=float(self.l1_regularization_strength),
                l2=float(self.l2_regularization_strength),
                shrinkage=float(self.l2_shrinkage_regularization_strength), beta=float(self.beta),
            ),
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        return {
            **super().get_config(),
            "learning_rate_power": self.learning_rate_power,
            "initial_accumulator_value": self.initial_accumulator_value,
            "l1_regularization_strength": self.l1_regularization_strength,
            "l2_regularization_strength": self.l2_regularization_strength,
            "l2_shrinkage_regularization_strength": self.l2_shrinkage_regularization_strength,
            "beta": self.beta,
        }
