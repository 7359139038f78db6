"""Adafactor: Adam in less memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.core import lang
from kbackend.optimizers.optimizer import Optimizer
from kbackend.optimizers.updates import (
    adafactor_matrix_update,
    adafactor_vector_update,
    step_number,
)


class Adafactor(Optimizer):
    """Adam without momentum, whose mean squares of a matrix are those of its rows and columns.

    Args:
        learning_rate: number, schedule, Variable or function.
        beta_2_decay: power of the step number that the weight of the newest square falls with.
        epsilon_1: added to squares of gradients.
        epsilon_2: least size of weights that steps are made in proportion to.
        clip_threshold: greatest root mean square of a step before it is scaled.
        relative_step: whether the learning rate is at most 1 / sqrt(step).
        **kwargs: see `Optimizer`.

    Raises:
        ValueError: an argument has a wrong value.

    Example:
        >>> import kbackend as keras
        >>> w = keras.Variable([1.0])
        >>> _ = Adafactor(learning_rate=0.1).apply([[5.0]], [w])
        >>> w.tolist()
        [0.9]

    Reference:
        Shazeer and Stern, 2018, https://arxiv.org/abs/1804.04235
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
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
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step
        self._r: list[Any] = []
        self._c: list[Any] = []
        self._v: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the mean squares of rows and columns, and of single elements."""
        if self.built:
            return
        super().build(variables)
        for variable in self._trainable_variables:
            r = c = v = None
            if not variable.overwrite_with_gradient:
                shape, stem = variable.shape, variable.path.replace("/", "_")
                if len(shape) < 2:
                    # Place holders, so that saved states have one layout.
                    r, c = self._place_holder(f"{stem}_row"), self._place_holder(f"{stem}_column")
                else:
                    r = self.add_variable(shape[:-1], dtype=variable.dtype, name=f"{stem}_row")
                    columns = (*shape[:-2], shape[-1])
                    c = self.add_variable(columns, dtype=variable.dtype, name=f"{stem}_column")
                v = self.add_variable_from_reference(variable, "velocity")
            self._r.append(r)
            self._c.append(c)
            self._v.append(v)

    def _place_holder(self, name: str) -> Any:
        return self._scalar(0, "int32", name)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `Optimizer.update_step`."""
        index = self._get_variable_index(variable)
        step = step_number(self._count(), variable.dtype)
        rate = lang.cast(learning_rate, variable.dtype)
        if self.relative_step:
            rate = lang.minimum(rate, lang.rsqrt(step))
        matrix = len(variable.shape) > 1
        rule = adafactor_matrix_update if matrix else adafactor_vector_update
        state = [self._v[index]]
        if matrix:
            state += [self._r[index], self._c[index]]
        self._assign_all(
            [variable, *state],
            rule(
                variable.value, gradient, *[s.value for s in state[-2:]],
                rate, step,
                beta_2_decay=float(self.beta_2_decay), epsilon_1=self.epsilon_1,
                epsilon_2=self.epsilon_2, clip_threshold=float(self.clip_threshold),
            ),
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        return {
            **super().get_config(),
            "beta_2_decay": self.beta_2_decay,
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "clip_threshold": self.clip_threshold,
            "relative_step": self.relative_step,
        }
