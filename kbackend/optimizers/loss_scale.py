"""`LossScaleOptimizer`: keeps gradients in float16's range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.base.serialization import deserialize, serialize
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.optimizers.conditional import update_if
from kbackend.optimizers.optimizer import Optimizer


class LossScaleOptimizer(Optimizer):
    """Scales the loss up, and the gradients down again, so that small ones don't vanish in float16.

    When a gradient is not finite the step is skipped and the scale halved; after
    `dynamic_growth_steps` steps without that it is doubled.

    Args:
        inner_optimizer: the optimizer that makes the steps.
        initial_scale: the scale at the start.
        dynamic_growth_steps: number of finite steps after which the scale is doubled.
        name: name.

    Raises:
        ValueError: an argument has a wrong value, or one is given that belongs to the inner
            optimizer.

    Example:
        >>> import kbackend as keras
        >>> w = keras.Variable([1.0])
        >>> optimizer = LossScaleOptimizer(keras.optimizers.SGD(0.5), initial_scale=4.0)
        >>> _ = optimizer.apply([[4.0]], [w])  # the gradient of 4 * w
        >>> w.tolist()
        [0.5]
    """

    def __init__(
        self,
        inner_optimizer: Any,
        initial_scale: float = 32768.0,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        label = "LossScaleOptimizer"
        if not isinstance(inner_optimizer, Optimizer):
            raise ValueError(
                f"[{label}] 'inner_optimizer' must be an Optimizer. Received: {inner_optimizer!r}."
            )
        for option, value in kwargs.items():
            if value is not None and value is not False:
                raise ValueError(
                    f"[{label}] '{option}' must be set on the inner optimizer. Received: "
                    f"{option}={value!r}."
                )
        if initial_scale <= 0 or dynamic_growth_steps < 1:
            raise ValueError(
                f"[{label}] 'initial_scale' and 'dynamic_growth_steps' must be positive. Received: "
                f"initial_scale={initial_scale}, dynamic_growth_steps={dynamic_growth_steps}."
            )
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        # From the start: a step that is traced before `build` must read the scale, too.
        self.step_counter = self._scalar(0, "int32", "step_counter")
        self.dynamic_scale = self._scalar(initial_scale, "float32", "dynamic_scale")

    def build(self, variables: Sequence[Any]) -> None:
        """Builds the inner optimizer."""
        if self.built:
            return
        super().build(variables)
        self.inner_optimizer.build(self._trainable_variables)

    @property
    def variables(self) -> list[Any]:
        """Its own variables, then the inner optimizer's."""
        return [*self._variables, *self.inner_optimizer.variables]

    @property
    def iterations(self) -> Any:
        """The inner optimizer's: skipped steps don't count."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.inner_optimizer.learning_rate = value

    def scale_loss(self, loss: Any) -> Any:
        """The loss times the scale."""
        # In float32: the scaled loss may be beyond float16's range.
        loss = self.inner_optimizer.scale_loss(to_tensor(loss, "float32"))
        return lang.mul(loss, self.dynamic_scale.value)

    def _step(self, pairs: list[tuple[Any, Any]]) -> None:
        plain = []
        for gradient, variable in pairs:
            if variable.overwrite_with_gradient:
                # Not a gradient of the scaled loss.
                self.inner_optimizer._overwrite(variable, to_tensor(gradient, variable.dtype))
            else:
                plain.append((to_tensor(gradient), variable))
        if not plain:
            return
        scale, count = self.dynamic_scale.value, self.step_counter.value
        finite = None
        for gradient, _ in plain:
            axes = tuple(range(len(gradient.shape)))
            good = lang.reduce_min(lang.isfinite(gradient), axes)
            finite = good if finite is None else lang.bitwise_and(finite, good)

        def step() -> None:
            self.inner_optimizer._step(
                [(lang.div(lang.cast(g, v.dtype), lang.cast(scale, v.dtype)), v) for g, v in plain]
            )

        update_if(finite, step, [*[v for _, v in pairs], *self.inner_optimizer.variables])
        full = lang.eq(lang.add(count, 1), self.dynamic_growth_steps)
        zero = lang.mul(count, 0)
        counted = lang.select(full, zero, lang.add(count, 1))
        self.step_counter.assign(lang.select(finite, counted, zero))
        grown = lang.mul(scale, lang.select(full, *_pair(2.0, 1.0, scale)))
        self.dynamic_scale.assign(lang.select(finite, grown, lang.mul(scale, 0.5)))

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """See `Optimizer.finalize_variable_values`."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        """See `Optimizer.get_config`."""
        return {
            "name": self.name,
            "inner_optimizer": serialize(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """See `Optimizer.from_config`."""
        inner = deserialize(config["inner_optimizer"], custom_objects)
        return cls(**{**config, "inner_optimizer": inner})


def _pair(x: float, y: float, like: Any) -> tuple[Any, Any]:
    return lang.full((), x, like.dtype), lang.full((), y, like.dtype)
