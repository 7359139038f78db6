"""Lion: the sign of a momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.core import lang
from kbackend.optimizers.optimizer import Optimizer
from kbackend.optimizers.options import check_fraction
from kbackend.optimizers.updates import lion_update


class Lion(Optimizer):
    """Steps of equal size in the direction of a momentum's signs: `w -= lr * sign(c)`.

    `c = beta_1 * m + (1 - beta_1) * g`; afterwards `m = beta_2 * m + (1 - beta_2) * g`. Good
    learning rates are a third to a tenth of Adam's.

    Args:
        learning_rate: number, schedule, Variable or function.
        beta_1: weight of the past in the step; not 0.
        beta_2: weight of the past in the momentum.
        **kwargs: see `Optimizer`.

    Raises:
        ValueError: an argument has a wrong value.

    Example:
        >>> import kbackend as keras
        >>> w = keras.Variable([1.0])
        >>> _ = Lion(learning_rate=0.1).apply([[5.0]], [w])
        >>> w.tolist()
        [0.9]

    Reference:
        Chen et al., 2023, https://arxiv.org/abs/2302.06675
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
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
        check_fraction("Lion", "beta_1", beta_1)
        if beta_1 == 0:
            raise ValueError(
                "[Lion] 'beta_1' must be above 0. Received: beta_1=0. Use SGD on signs."
            )
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
            ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps,
            name, **kwargs,
        )  # fmt: skip
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self._momentums: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the momentums."""
        if self.built:
            return
        super().build(variables)
        self._momentums = self.add_optimizer_variables(self._trainable_variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        m = self._momentums[self._get_variable_index(variable)]
        lr = lang.cast(learning_rate, variable.dtype)
        self._assign_all(
            [variable, m],
            lion_update(
                variable.value, gradient, m.value, lr, beta_1=self.beta_1, beta_2=self.beta_2
            ),
        )

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
        }
