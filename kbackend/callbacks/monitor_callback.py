"""`MonitorCallback`: what follows one metric and knows when it has improved."""

from __future__ import annotations

import warnings
from typing import Any

from kbackend.callbacks.callback import Callback

_HIGHER = frozenset(
    (
        "AUC", "Accuracy", "BinaryAccuracy", "BinaryIoU", "CategoricalAccuracy",
        "ConcordanceCorrelation", "CosineSimilarity", "F1Score", "FBetaScore", "IoU", "MeanIoU",
        "OneHotIoU", "OneHotMeanIoU", "PearsonCorrelation", "Precision", "PrecisionAtRecall",
        "R2Score", "Recall", "RecallAtPrecision", "SensitivityAtSpecificity",
        "SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy", "SpecificityAtSensitivity",
        "TopKCategoricalAccuracy",
    )
)  # fmt: skip
_LOWER = frozenset(
    (
        "BinaryCrossentropy", "CategoricalCrossentropy", "CategoricalHinge", "Hinge",
        "KLDivergence", "LogCoshError", "MeanAbsoluteError", "MeanAbsolutePercentageError",
        "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson", "RootMeanSquaredError",
        "SparseCategoricalCrossentropy", "SquaredHinge",
    )
)  # fmt: skip


class MonitorCallback(Callback):
    """Base of the callbacks that act on the course of one metric.

    Args:
        monitor: name of the metric in the logs.
        mode: "min", "max", or "auto": by what the metric is.
        baseline: value that the metric must beat.
        min_delta: least change that counts as an improvement.

    Example:
        >>> callback = MonitorCallback("loss", mode="min", min_delta=0.1)
        >>> callback._is_improvement(0.95, 1.0), callback._is_improvement(0.8, 1.0)
        (False, True)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        baseline: float | None = None,
        min_delta: float = 0,
    ) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(
                f"[{type(self).__name__}] 'mode' must be 'auto', 'min' or 'max'; 'auto' is taken. "
                f"Received: mode={mode!r}.",
                stacklevel=3,
            )
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.best = baseline
        self.min_delta = abs(min_delta)
        # Known later with "auto": metrics are made with the first batch.
        self._direction: str | None = None if mode == "auto" else mode

    def _find_direction(self) -> str:
        """ "min" or "max".

        Raises:
            ValueError: the metric does not tell.
        """
        if self._direction is None:
            name = self.monitor.removeprefix("val_")
            self._direction = "min" if name == "loss" else _direction_of(self.model, name)
        if self._direction is None:
            raise ValueError(
                f"[{type(self).__name__}] whether '{self.monitor}' is to grow or to shrink can't "
                "be told from the metric. Give mode='max' or mode='min'."
            )
        return self._direction

    def _is_improvement(self, value: float, reference: float | None) -> bool:
        """Whether `value` is better than `reference`, by at least `min_delta`."""
        if reference is None:
            return True
        if self._find_direction() == "min":
            return value + self.min_delta < reference
        return value - self.min_delta > reference

    def _value_in(self, logs: dict[str, Any] | None) -> Any:
        """The metric's value; warns and returns `None` if it is not there."""
        logs = logs or {}
        if self.monitor not in logs:
            warnings.warn(
                f"[{type(self).__name__}] '{self.monitor}' is not among the metrics: "
                f"{', '.join(logs) or 'there are none'}.",
                stacklevel=3,
            )
        return logs.get(self.monitor)


def _direction_of(model: Any, name: str) -> str | None:
    """Whether the model's metric of that name is better when it is low or high, if known."""
    metric = model.find_metric(name)
    if metric is None:
        return None
    own = getattr(metric, "_direction", None)
    if own is not None:
        return {"up": "max", "down": "min"}.get(own, own)
    for cls in type(metric).__mro__:
        if cls.__name__ in _HIGHER:
            return "max"
        if cls.__name__ in _LOWER:
            return "min"
    # The mean of an output's loss, or of a loss function used as a metric.
    function = getattr(metric, "_fn", None)
    module = getattr(function, "__module__", None) or ""
    return "min" if name.endswith("_loss") or module.startswith("kbackend.losses.") else None
