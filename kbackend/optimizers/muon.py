"""Muon: momentum with its singular values made equal, for matrices; Adam for the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kbackend.core import lang, operators
from kbackend.core.composite import composite
from kbackend.optimizers.clipping import sum_of_squares
from kbackend.optimizers.optimizer import Optimizer
from kbackend.optimizers.updates import adam_update
from kbackend.optimizers.updates import weight_decay as decay


@composite("orthogonalize")
def orthogonalize(x: Any, *, steps: int, a: float, b: float, c: float) -> Any:
    """The nearest matrix whose singular values are all about 1, by Newton-Schulz iteration."""
    tall = x.shape[0] > x.shape[1]
    # The products below are smaller for a wide matrix.
    if tall:
        x = lang.transpose(x, (1, 0))
    x = lang.div(x, lang.add(lang.sqrt(sum_of_squares(x)), 1e-7))
    for _ in range(steps):
        gram = lang.dot(x, x, ((1,), (1,)))
        mixed = lang.add(lang.mul(gram, b), lang.mul(operators.matmul(gram, gram), c))
        x = lang.add(lang.mul(x, a), operators.matmul(mixed, x))
    return lang.transpose(x, (1, 0)) if tall else x


class Muon(Optimizer):
    """Gradient descent along the orthogonalized momentum of each matrix.

    Tensors that are not matrices, embeddings and the layers in `exclude_layers` are updated by
    AdamW.

    Args:
        learning_rate: number, schedule, Variable or function.
        adam_beta_1: Adam's weight of the past in the average of gradients.
        adam_beta_2: Adam's weight of the past in the average of squares.
        adam_weight_decay: weight decay of the tensors that Adam updates.
        epsilon: keeps Adam's divisor from 0.
        weight_decay: weight decay of the matrices.
        exclude_layers: regular expressions; variables in whose path one is found go to Adam.
        exclude_embeddings: whether variables with "embedding" in their path go to Adam.
        muon_a: factor of x in the iteration that orthogonalizes.
        muon_b: factor of x's third power.
        muon_c: factor of x's fifth power.
        adam_lr_ratio: Adam's learning rate as a multiple of `learning_rate`.
        momentum: share of the momentum that is kept.
        ns_steps: number of iterations.
        nesterov: whether the momentum looks ahead.
        rms_rate: root mean square of a step in units of the learning rate, about that of Adam's;
            `None`: steps are not scaled.
        **kwargs: see `Optimizer`.

    Raises:
        ValueError: an argument has a wrong value.

    Example:
        >>> import kbackend as keras
        >>> w = keras.Variable([[1.0, 0.0], [0.0, 1.0]])
        >>> optimizer = Muon(learning_rate=0.1, weight_decay=None)
        >>> _ = optimizer.apply([[[3.0, 0.0], [0.0, 3.0]]], [w])
        >>> bool(w[0, 0] < 0.98), float(w[0, 1])
        (True, 0.0)

    Reference:
        Jordan et al., 2024, https://kellerjordan.github.io/posts/muon;
        Liu et al., 2025, https://arxiv.org/abs/2502.16982
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.775,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **kwargs: Any,
    ) -> None:
        if isinstance(exclude_layers, str):
            raise ValueError(
                "[Muon] 'exclude_layers' must be a list of regular expressions. Received: "
                f"exclude_layers={exclude_layers!r}."
            )
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
            ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps,
            name, **kwargs,
        )  # fmt: skip
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.adam_weight_decay = adam_weight_decay
        self.epsilon = epsilon
        self.exclude_layers = list(exclude_layers or ())
        self.exclude_embeddings = exclude_embeddings
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = rms_rate
        self._momentums: list[Any] = []
        self._velocities: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the momentums, and the averages of squares of what goes to Adam."""
        if self.built:
            return
        super().build(variables)
        for variable in self._trainable_variables:
            momentum = velocity = None
            if not variable.overwrite_with_gradient:
                momentum = self.add_variable_from_reference(variable, "momentum")
                if self._goes_to_adam(variable):
                    velocity = self.add_variable_from_reference(variable, "velocity")
            self._momentums.append(momentum)
            self._velocities.append(velocity)

    def _goes_to_adam(self, variable: Any) -> bool:
        if len(variable.shape) != 2:
            return True
        if self.exclude_embeddings and "embedding" in variable.path.lower():
            return True
        return any(re.search(pattern, variable.path) for pattern in self.exclude_layers)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        lr = lang.cast(learning_rate, variable.dtype)
        if v is not None:
            self._assign_all(
                [variable, m, v],
                adam_update(
                    variable.value, gradient, m.value, v.value,
                    lang.mul(lr, float(self.adam_lr_ratio)), self._count(),
                    beta_1=self.adam_beta_1, beta_2=self.adam_beta_2, epsilon=self.epsilon,
                ),
            )  # fmt: skip
            return
        total = m.assign(lang.add(lang.mul(m.value, float(self.momentum)), gradient))
        if self.nesterov:
            total = lang.add(gradient, lang.mul(total, float(self.momentum)))
        step = orthogonalize(
            total, steps=self.ns_steps, a=self.muon_a, b=self.muon_b, c=self.muon_c
        )
        if self.rms_rate is not None:
            lr = lang.mul(lr, self.rms_rate * max(variable.shape) ** 0.5)
        variable.assign(lang.sub(variable.value, lang.mul(step, lr)))

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        rate = self._rate()
        for variable in variables:
            amount = self.adam_weight_decay if self._goes_to_adam(variable) else self.weight_decay
            if amount is not None and self._use_weight_decay(variable):
                lr = lang.cast(rate, variable.dtype)
                variable.assign(decay(variable.value, lr, rate=float(amount)))

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        return {
            **super().get_config(),
            "adam_beta_1": self.adam_beta_1,
            "adam_beta_2": self.adam_beta_2,
            "epsilon": self.epsilon,
            "exclude_layers": self.exclude_layers,
            "muon_a": self.muon_a,
            "muon_b": self.muon_b,
            "muon_c": self.muon_c,
            "adam_lr_ratio": self.adam_lr_ratio,
            "momentum": self.momentum,
            "ns_steps": self.ns_steps,
            "nesterov": self.nesterov,
            "exclude_embeddings": self.exclude_embeddings,
            "adam_weight_decay": self.adam_weight_decay,
            "rms_rate": self.rms_rate,
        }
