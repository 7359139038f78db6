"""Gradient descent, with momentum if wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.core import lang
from kbackend.optimizers.optimizer import Optimizer
from kbackend.optimizers.options import check_fraction
from kbackend.optimizers.updates import momentum_update, sgd_update


class SGD(Optimizer):
    """Gradient descent.

    Without momentum `w -= lr * g`; with momentum `m = momentum * m - lr * g` and `w += m`, or
    `w += momentum * m - lr * g` with Nesterov's.

    Args:
        learning_rate: number, schedule, Variable or function.
        momentum: share of the last step that is kept, from 0 to 1.
        nesterov: whether to look ahead.
        **kwargs: see `Optimizer`.

    Raises:
        ValueError: an argument has a wrong value.

    Example:
        >>> import kbackend as keras
        >>> w = keras.Variable([1.0])
        >>> optimizer = SGD(learning_rate=0.1, momentum=0.5)
        >>> for _ in range(2):
        ...     _ = optimizer.apply([[1.0]], [w])
        >>> w.tolist()
        [0.75]

    Reference:
        Sutskever et al., 2013, http://proceedings.mlr.press/v28/sutskever13.html
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
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
        check_fraction("SGD", "momentum", momentum)
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
            ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps,
            name, **kwargs,
        )  # fmt: skip
        self.momentum = momentum
        self.nesterov = bool(nesterov)
        self._momentums: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the momentums."""
        if self.built:
            return
        super().build(variables)
        if self.momentum:
            self._momentums = self.add_optimizer_variables(self._trainable_variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        lr = lang.cast(learning_rate, variable.dtype)
        if not self.momentum:
            variable.assign(sgd_update(variable.value, gradient, lr))
            return
        m = self._momentums[self._get_variable_index(variable)]
        p, new_m = momentum_update(
            variable.value, gradient, m.value, lr,
            momentum=float(self.momentum), nesterov=self.nesterov,
        )  # fmt: skip
        variable.assign(p)
        m.assign(new_m)

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
