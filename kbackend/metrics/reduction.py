"""Metrics that add up: `Mean`, `Sum`, and the mean of a function of targets and predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbackend.base import serialization
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.masks import get_keras_mask
from kbackend.losses.alignment import align, mean_over
from kbackend.losses.loss import as_tensors, total
from kbackend.metrics.metric import Metric


def _weighted(values: Any, weight: Any, dtype: str, reduce: Callable[..., Any]) -> tuple[Any, Any]:
    """Values of one sample each, weighted, and the weight of each sample.

    Dimensions that the weights lack are reduced before, the others of a sample after.
    """
    weight = to_tensor(weight, dtype)
    values, weight = align(values, weight, expand=False)
    rank, lead = len(values.shape), len(weight.shape)
    if rank > lead:
        values = reduce(values, tuple(range(lead, rank)))
    if weight.shape != values.shape:
        weight = lang.broadcast_to(weight, tuple(values.shape))
    values = lang.mul(values, weight)
    rest = tuple(range(1, len(values.shape)))
    if rest:
        values, weight = reduce(values, rest), reduce(weight, rest)
    return values, weight


class Mean(Metric):
    """The weighted mean of the values so far. A sample of many values counts as their mean.

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> metric = Mean()
        >>> metric.update_state([1, 3, 5, 7], sample_weight=[1, 1, 0, 0])
        >>> metric.result().item()
        2.0
    """

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", dtype=self.dtype, name="total")
        self.count = self.add_variable((), "zeros", dtype=self.dtype, name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Adds values.

        Args:
            values: tensor whose first dimension is that of the samples, or a scalar.
            sample_weight: weights of the samples, or of the values.
        """
        dtype = self._dtype
        values = to_tensor(values, dtype)
        if sample_weight is not None:
            values, weight = _weighted(values, sample_weight, dtype, mean_over)
            self.total.assign(lang.add(self.total.read(), total(values)))
            self.count.assign(lang.add(self.count.read(), total(weight)))
            return
        if len(values.shape) > 1:
            values = mean_over(values, tuple(range(1, len(values.shape))))
        if not values.shape:
            samples: Any = 1.0
        elif values.shape[0] is None:
            samples = total(lang.full(values.shape, 1, dtype))
        else:
            samples = lang.lift_as(float(values.shape[0]), values, dtype)
        self.total.assign(lang.add(self.total.read(), total(values)))
        self.count.assign(lang.add(self.count.read(), samples))

    def result(self) -> Any:
        """The mean; 0 before the first value."""
        count = self.count.read()
        none = lang.eq(count, 0)
        return lang.select(none, 0.0, lang.div(self.total.read(), lang.select(none, 1.0, count)))

    def reset_state(self) -> None:
        """Forgets all values."""
        self.total.assign(0.0)
        self.count.assign(0.0)


class Sum(Metric):
    """The weighted sum of the values so far.

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> metric = Sum()
        >>> metric.update_state([1, 3, 5, 7])
        >>> metric.result().item()
        16.0
    """

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", dtype=self.dtype, name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Adds values.

        Args:
            values: tensor whose first dimension is that of the samples, or a scalar.
            sample_weight: weights of the samples, or of the values.
        """
        values = to_tensor(values, self._dtype)
        if sample_weight is not None:
            values, _ = _weighted(values, sample_weight, self._dtype, lang.reduce_sum)
        self.total.assign(lang.add(self.total.read(), total(values)))

    def result(self) -> Any:
        """The sum."""
        return self.total.read()

    def reset_state(self) -> None:
        """Forgets all values."""
        self.total.assign(0.0)


class MeanMetricWrapper(Mean):
    """The weighted mean of a function of targets and predictions.

    Args:
        fn: function `(y_true, y_pred, **kwargs)` whose result has the samples' dimension first.
        name: name; that of the class in snake case by default.
        dtype: dtype of the computation.
        **kwargs: settings of the function.

    Example:
        >>> metric = MeanMetricWrapper(lambda y_true, y_pred: y_pred - y_true, name="bias")
        >>> metric([1.0, 2.0], [2.0, 4.0]).item()
        1.5
    """

    # Whether targets are converted to the metric's dtype; integer labels need not be.
    _casts_targets = True

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Adds a batch.

        Args:
            y_true: targets.
            y_pred: predictions. Places that their mask excludes don't count.
            sample_weight: weights of the samples, or of the function's values.
        """
        mask = get_keras_mask(y_pred)
        y_true = as_tensors(y_true, self._dtype if self._casts_targets else None)
        y_pred = as_tensors(y_pred, self._dtype)
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        if mask is not None:
            kept = lang.cast(to_tensor(mask, "bool"), self._dtype)
            if sample_weight is not None:
                kept, weight = align(kept, to_tensor(sample_weight, self._dtype))
                kept = lang.mul(kept, weight)
            sample_weight = kept
        super().update_state(values, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "fn": serialization.serialize(self._fn),
            **serialization.serialize(self._fn_kwargs),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A metric from `get_config`'s answer."""
        if "fn" in config:
            config = {**config, "fn": serialization.deserialize(config["fn"])}
        return cls(**config)


class NamedMean(MeanMetricWrapper):
    """A metric class of this package: its config holds its own arguments, not the function.

    `_defaults` are settings that are in the config only where they differ from these values.
    """

    _defaults: dict[str, Any] = {}  # noqa: RUF012 - never mutated

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        found = Metric.get_config(self)
        for key, value in self._fn_kwargs.items():
            if key not in self._defaults or value != self._defaults[key]:
                found[key] = value
        return found
