"""The best of one rate at the thresholds where another is good enough."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.metrics.confusion import Decisions
from kbackend.metrics.counts import KINDS, quotient


def even_thresholds(count: int) -> list[float]:
    """Thresholds from just below 0 to just above 1; 0.5 if it is only one."""
    if count == 1:
        return [0.5]
    return [-1e-7, *(i / (count - 1) for i in range(1, count - 1)), 1.0 + 1e-7]


# rate -> the counts that it is the share of, and the others
_RATES = {
    "precision": (0, 1),
    "recall": (0, 3),
    "sensitivity": (0, 3),
    "specificity": (2, 1),
}


class _BestAt(Decisions):
    """The greatest `_wanted` rate where the `_given` rate reaches a value."""

    _kinds = KINDS
    _given = ""
    _wanted = ""

    def __init__(
        self,
        value: float,
        num_thresholds: int,
        class_id: int | None,
        name: str | None,
        dtype: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if not 0 <= value <= 1:
            raise ValueError(
                f"[{self.name}] '{self._given}' must be between 0 and 1. "
                f"Received: {self._given}={value}."
            )
        if num_thresholds <= 0:
            raise ValueError(
                f"[{self.name}] 'num_thresholds' must be a positive integer. "
                f"Received: num_thresholds={num_thresholds}."
            )
        self.value = value
        self.num_thresholds = num_thresholds
        self.class_id = class_id
        self.thresholds = even_thresholds(num_thresholds)
        self._make_counters(self.thresholds, KINDS)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts a batch.

        Args:
            y_true: targets of 0 and 1.
            y_pred: predictions of the same shape, between 0 and 1.
            sample_weight: weights of the samples, or of the elements.
        """
        self._count(y_true, y_pred, sample_weight, self.class_id)

    def result(self) -> Any:
        """The rate; 0 where no threshold is good enough."""
        counts = [counter.read() for counter in self._counters]
        rates = {}
        for name in (self._given, self._wanted):
            of, other = _RATES[name]
            rates[name] = quotient(counts[of], lang.add(counts[of], counts[other]))
        good = lang.le(self.value, rates[self._given])
        return lang.reduce_max(lang.select(good, rates[self._wanted], 0.0), (0,))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "class_id": self.class_id,
            "num_thresholds": self.num_thresholds,
            self._given: self.value,
        }


class SensitivityAtSpecificity(_BestAt):
    """The greatest sensitivity at thresholds where the specificity reaches a value.

    Args:
        specificity: the value to reach, from 0 to 1.
        num_thresholds: number of evenly spaced thresholds to try.
        class_id: class in the last dimension to look at; all by default.
        name: name.
        dtype: dtype of the computation.

    Raises:
        ValueError: the value, or the number of thresholds, is out of range.

    Example:
        >>> SensitivityAtSpecificity(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]).item()
        0.5
    """

    _given = "specificity"
    _wanted = "sensitivity"

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(specificity, num_thresholds, class_id, name, dtype)
        self.specificity = specificity


class SpecificityAtSensitivity(_BestAt):
    """The greatest specificity at thresholds where the sensitivity reaches a value.

    Args:
        sensitivity: the value to reach, from 0 to 1.
        num_thresholds: number of evenly spaced thresholds to try.
        class_id: class in the last dimension to look at; all by default.
        name: name.
        dtype: dtype of the computation.

    Raises:
        ValueError: the value, or the number of thresholds, is out of range.

    Example:
        >>> SpecificityAtSensitivity(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]).item()
        0.666
    """

    _given = "sensitivity"
    _wanted = "specificity"

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity


class PrecisionAtRecall(_BestAt):
    """The greatest precision at thresholds where the recall reaches a value.

    Args:
        recall: the value to reach, from 0 to 1.
        num_thresholds: number of evenly spaced thresholds to try.
        class_id: class in the last dimension to look at; all by default.
        name: name.
        dtype: dtype of the computation.

    Raises:
        ValueError: the value, or the number of thresholds, is out of range.

    Example:
        >>> PrecisionAtRecall(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]).item()
        0.5
    """

    _given = "recall"
    _wanted = "precision"

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(recall, num_thresholds, class_id, name, dtype)
        self.recall = recall


class RecallAtPrecision(_BestAt):
    """The greatest recall at thresholds where the precision reaches a value.

    Args:
        precision: the value to reach, from 0 to 1.
        num_thresholds: number of evenly spaced thresholds to try.
        class_id: class in the last dimension to look at; all by default.
        name: name.
        dtype: dtype of the computation.

    Raises:
        ValueError: the value, or the number of thresholds, is out of range.

    Example:
        >>> RecallAtPrecision(0.8)([0, 0, 1, 1], [0, 0.5, 0.3, 0.9]).item()
        0.5
    """

    _given = "precision"
    _wanted = "recall"

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(precision, num_thresholds, class_id, name, dtype)
        self.precision = precision
