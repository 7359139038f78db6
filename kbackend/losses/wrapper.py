"""Losses that are a function with its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbackend.base import config, serialization, tree
from kbackend.losses.alignment import align
from kbackend.losses.loss import Loss


class LossFunctionWrapper(Loss):
    """A loss class made of a function of targets and predictions.

    Args:
        fn: function `(y_true, y_pred, **kwargs)`.
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.
        **kwargs: settings of the function.

    Example:
        >>> loss = LossFunctionWrapper(lambda y_true, y_pred, scale: scale * y_pred, scale=2.0)
        >>> loss([0.0, 0.0], [1.0, 2.0]).item()
        3.0
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: Any = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The function's value for targets and predictions of one rank."""
        if not tree.is_nested(y_pred) and not tree.is_nested(y_true):
            y_true, y_pred = align(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "fn": serialization.serialize(self.fn),
            **serialization.serialize(self._fn_kwargs),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A loss from `get_config`'s answer."""
        return cls(**serialization.deserialize(config)) if "fn" in config else cls(**config)


class NamedLoss(LossFunctionWrapper):
    """A loss class of this package: its config holds its own arguments, not the function.

    `_shown` names the settings that are in the config always; the others, and the dtype, are there
    where they differ from what the class takes by default (Keras leaves them out).
    """

    _shown: tuple[str, ...] = ()
    _defaults: dict[str, Any] = {}  # noqa: RUF012 - never mutated

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        found = Loss.get_config(self)
        for key, value in self._fn_kwargs.items():
            if key in self._shown or value != self._defaults.get(key):
                found[key] = value
        if self._dtype_policy.name != config.floatx():
            found["dtype"] = self._dtype_policy.name
        return found
