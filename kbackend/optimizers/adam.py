"""Adam, and AdamW, which is Adam with weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.core import lang
from kbackend.optimizers.optimizer import Optimizer
from kbackend.optimizers.updates import adam_update, amsgrad_update


class Adam(Optimizer):
    """Steps by the averages of the gradient and of its square: `w -= lr * m / (sqrt(v) + epsilon)`.

    Both averages are corrected for their start at 0.

    Args:
        learning_rate: number, schedule, Variable or function.
        beta_1: weight of the past in the average of gradients.
        beta_2: weight of the past in the average of squares.
        epsilon: keeps the divisor from 0 (the "epsilon hat" of the paper).
        amsgrad: whether to divide by the greatest average of squares so far.
        **kwargs: see `Optimizer`.

    Raises:
        ValueError: an argument has a wrong value.

    Example:
        >>> import kbackend as keras
        >>> w = keras.Variable([1.0])
        >>> _ = Adam(learning_rate=0.1).apply([[5.0]], [w])
        >>> w.tolist()
        [0.9]

    Reference:
        Kingma and Ba, 2014, https://arxiv.org/abs/1412.6980;
        Reddi et al., 2018 (AMSGrad), https://openreview.net/pdf?id=ryQu7f-RZ
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        self.amsgrad = amsgrad
        self._momentums: list[Any] = []
        self._velocities: list[Any] = []
        self._velocity_hats: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Makes both averages, and the greatest ones for AMSGrad."""
        if self.built:
            return
        super().build(variables)
        kept = self._trainable_variables
        self._momentums, self._velocities = self.add_optimizer_variables(
            kept, ("momentum", "velocity")
        )
        if self.amsgrad:
            self._velocity_hats = self.add_optimizer_variables(kept, "velocity_hat")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        lr = lang.cast(learning_rate, variable.dtype)
        params = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        if self.amsgrad:
            hat = self._velocity_hats[index]
            p, new_m, new_v, greatest = amsgrad_update(
                variable.value, gradient, m.value, v.value, hat.value, lr, self._count(), **params
            )
            hat.assign(greatest)
        else:
            p, new_m, new_v = adam_update(
                variable.value, gradient, m.value, v.value, lr, self._count(), **params
            )
        variable.assign(p)
        m.assign(new_m)
        v.assign(new_v)

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }


class AdamW(Adam):
    """Adam with weight decay that goes around the averages.

    Args:
        learning_rate: number, schedule, Variable or function.
        weight_decay: fraction of a variable, times the learning rate, taken off in each step.
        beta_1: weight of the past in the average of gradients.
        beta_2: weight of the past in the average of squares.
        epsilon: keeps the divisor from 0.
        amsgrad: whether to divide by the greatest average of squares so far.
        **kwargs: see `Optimizer`.

    Raises:
        ValueError: an argument has a wrong value, or `weight_decay` is `None`.

    Example:
        >>> import kbackend as keras
        >>> w = keras.Variable([1.0])
        >>> _ = AdamW(learning_rate=0.1, weight_decay=0.5).apply([[5.0]], [w])
        >>> w.tolist()
        [0.85]

    Reference:
        Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        if weight_decay is None:
            raise ValueError("[AdamW] 'weight_decay' must be a number. Received: None. Use Adam.")
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, clipnorm, clipvalue,
            global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
            gradient_accumulation_steps, name, **kwargs,
        )  # fmt: skip
