"""Counts of right and wrong decisions, precision, and recall."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.losses.alignment import align
from kbackend.metrics.counts import (
    ThresholdCounts,
    checked_thresholds,
    one_class,
    only_top_k,
    quotient,
    weights_like,
)
from kbackend.metrics.metric import Metric


def flat(x: Any) -> Any:
    """x as a vector."""
    return x if len(x.shape) == 1 else lang.reshape(x, (-1,))


class Decisions(Metric):
    """Base of metrics that count decisions at thresholds into variables of that name."""

    _kinds: tuple[str, ...] = ()

    def _make_counters(self, thresholds: Any, names: tuple[str, ...]) -> None:
        self._counts = ThresholdCounts(thresholds)
        self._counters = [
            self.add_variable((len(thresholds),), "zeros", dtype=self.dtype, name=name)
            for name in names
        ]

    def _count(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any,
        class_id: int | None = None,
        top_k: int | None = None,
    ) -> None:
        y_true, y_pred = align(to_tensor(y_true, self._dtype), to_tensor(y_pred, self._dtype))
        if tuple(y_true.shape) != tuple(y_pred.shape):
            raise ValueError(
                f"[{self.name}] 'y_true' and 'y_pred' must have the same shape. Received: "
                f"y_true.shape={tuple(y_true.shape)}, y_pred.shape={tuple(y_pred.shape)}."
            )
        if top_k is not None:
            y_pred = only_top_k(y_pred, top_k)
        if class_id is not None:
            y_true, y_pred = one_class(y_true, y_pred, class_id, self.name)
        weight = None
        if sample_weight is not None:
            weight = flat(weights_like(sample_weight, y_pred))
        found = self._counts.count(flat(y_true), flat(y_pred), weight, self._kinds)
        for counter, value in zip(self._counters, found, strict=True):
            counter.assign(lang.add(counter.read(), value))


def _single(x: Any, thresholds: Any) -> Any:
    """The only element, where there is one threshold."""
    return lang.reshape(x, ()) if len(thresholds) == 1 else x


class _Count(Decisions):
    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.thresholds = checked_thresholds(thresholds, 0.5, self.name)
        self._make_counters(self.thresholds, ("accumulator",))
        self.accumulator = self._counters[0]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts a batch.

        Args:
            y_true: targets of 0 and 1.
            y_pred: predictions of the same shape, between 0 and 1.
            sample_weight: weights of the samples, or of the elements.
        """
        self._count(y_true, y_pred, sample_weight)

    def result(self) -> Any:
        """The count, one for each threshold if there are several."""
        return _single(self.accumulator.read(), self.thresholds)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "thresholds": self.init_thresholds}


class FalsePositives(_Count):
    """How often 1 is predicted for 0.

    Args:
        thresholds: number or list of them; predictions above it stand for 1; 0.5 by default.
        name: name.
        dtype: dtype of the computation.

    Raises:
        ValueError: a threshold is not between 0 and 1.

    Example:
        >>> FalsePositives()([0, 1, 0, 0], [0, 0, 1, 1]).item()
        2.0
    """

    _kinds = ("false_positives",)


class FalseNegatives(_Count):
    """How often 0 is predicted for 1.

    Args:
        thresholds: number or list of them; predictions above it stand for 1; 0.5 by default.
        name: name.
        dtype: dtype of the computation.

    Raises:
        ValueError: a threshold is not between 0 and 1.

    Example:
        >>> FalseNegatives()([0, 1, 1, 1], [0, 1, 0, 0]).item()
        2.0
    """

    _kinds = ("false_negatives",)


class TrueNegatives(_Count):
    """How often 0 is predicted for 0.

    Args:
        thresholds: number or list of them; predictions above it stand for 1; 0.5 by default.
        name: name.
        dtype: dtype of the computation.

    Raises:
        ValueError: a threshold is not between 0 and 1.

    Example:
        >>> TrueNegatives()([0, 1, 0, 0], [1, 1, 0, 0]).item()
        2.0
    """

    _kinds = ("true_negatives",)


class TruePositives(_Count):
    """How often 1 is predicted for 1.

    Args:
        thresholds: number or list of them; predictions above it stand for 1; 0.5 by default.
        name: name.
        dtype: dtype of the computation.

    Raises:
        ValueError: a threshold is not between 0 and 1.

    Example:
        >>> TruePositives()([0, 1, 1, 1], [1, 0, 1, 1]).item()
        2.0
    """

    _kinds = ("true_positives",)


class _Share(Decisions):
    """The share of true positives among them and another kind."""

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        # With top_k the k greatest count, whatever they are.
        default = 0.5 if top_k is None else -1e30
        self.thresholds = checked_thresholds(thresholds, default, self.name)
        self._make_counters(self.thresholds, self._kinds)
        for kind, counter in zip(self._kinds, self._counters, strict=True):
            setattr(self, kind, counter)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts a batch.

        Args:
            y_true: targets of 0 and 1.
            y_pred: predictions of the same shape, between 0 and 1.
            sample_weight: weights of the samples, or of the elements.
        """
        self._count(y_true, y_pred, sample_weight, self.class_id, self.top_k)

    def result(self) -> Any:
        """The share, one for each threshold if there are several; 0 where nothing counts."""
        right, wrong = (counter.read() for counter in self._counters)
        return _single(quotient(right, lang.add(right, wrong)), self.thresholds)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "thresholds": self.init_thresholds,
            "top_k": self.top_k,
            "class_id": self.class_id,
        }


class Precision(_Share):
    """The share of right ones among the predictions of 1.

    Args:
        thresholds: number or list of them; predictions above it stand for 1; 0.5 by default, or
            none with `top_k`.
        top_k: only the k greatest predictions of a sample may stand for 1.
        class_id: class in the last dimension to look at; all by default.
        name: name.
        dtype: dtype of the computation.

    Raises:
        ValueError: a threshold is not between 0 and 1.

    Example:
        >>> Precision()([0, 1, 1, 1], [1, 0, 1, 1]).item()
        0.666
    """

    _kinds = ("true_positives", "false_positives")


class Recall(_Share):
    """The share of the targets of 1 for which 1 is predicted.

    Args:
        thresholds: number or list of them; predictions above it stand for 1; 0.5 by default, or
            none with `top_k`.
        top_k: only the k greatest predictions of a sample may stand for 1.
        class_id: class in the last dimension to look at; all by default.
        name: name.
        dtype: dtype of the computation.

    Raises:
        ValueError: a threshold is not between 0 and 1.

    Example:
        >>> Recall()([0, 1, 1, 1], [1, 0, 1, 1]).item()
        0.666
    """

    _kinds = ("true_positives", "false_negatives")
