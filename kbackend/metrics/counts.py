"""Weights of true and false positives and negatives at several thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.tensor import tensor
from kbackend.losses.alignment import align

KINDS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


def checked_thresholds(thresholds: Any, default: float, owner: str) -> list[float]:
    """Thresholds as a list.

    Raises:
        ValueError: there is none, or one is not between 0 and 1.
    """
    if thresholds is None:
        return [default]
    found = list(thresholds) if isinstance(thresholds, (list, tuple, np.ndarray)) else [thresholds]
    if not found or any(t is None or not 0 <= t <= 1 for t in found):
        raise ValueError(
            f"[{owner}] 'thresholds' must be between 0 and 1. Received: thresholds={thresholds}."
        )
    return found


def one_class(y_true: Any, y_pred: Any, class_id: int, owner: str) -> tuple[Any, Any]:
    """The targets and predictions of one class, without the last dimension."""
    for name, x in (("y_true", y_true), ("y_pred", y_pred)):
        if not x.shape or not 0 <= class_id < x.shape[-1]:
            raise ValueError(
                f"[{owner}] 'class_id' must name one of the classes in the last dimension of "
                f"'{name}'. Received: class_id={class_id}, {name}.shape={tuple(x.shape)}."
            )
    return _take_last(y_true, class_id), _take_last(y_pred, class_id)


def _take_last(x: Any, i: int) -> Any:
    outer = tuple(x.shape[:-1])
    return lang.reshape(lang.slice_(x, (0,) * len(outer) + (i,), (*outer, i + 1)), outer)


def only_top_k(y_pred: Any, k: int) -> Any:
    """Predictions with all but the k greatest of each row at minus infinity."""
    last = len(y_pred.shape) - 1
    _, places = lang.top_k(y_pred, min(k, y_pred.shape[last]))
    rank = len(places.shape)
    classes = lang.iota((1,) * rank + (y_pred.shape[last],), rank, "int32")
    chosen = lang.reduce_max(lang.eq(lang.reshape(places, (*places.shape, 1)), classes), (last,))
    return lang.select(chosen, y_pred, -float("inf"))


def weights_like(sample_weight: Any, y_pred: Any) -> Any:
    """Sample weights, or weights of all elements, in the shape and dtype of the predictions."""
    weight = to_tensor(sample_weight, y_pred.dtype)
    _, weight = align(y_pred, weight, expand=False)
    missing = len(y_pred.shape) - len(weight.shape)
    if missing > 0 and weight.shape:
        weight = lang.reshape(weight, (*weight.shape, *(1,) * missing))
    return lang.broadcast_to(weight, tuple(y_pred.shape))


class ThresholdCounts:
    """Counts above and below each of a list of thresholds.

    A prediction falls between two thresholds once; running sums over these places then say how
    many are above or below each. That takes memory for the predictions, not times the thresholds.

    Args:
        thresholds: numbers in any order.
    """

    def __init__(self, thresholds: Any) -> None:
        values = np.asarray(thresholds, dtype="float64")
        order = np.argsort(values, kind="stable")
        self._sorted = values[order]
        # Where each threshold went; `None` if they were sorted.
        self._places = None if (order == np.arange(len(order))).all() else np.argsort(order)
        self._size = len(values)

    def count(self, y_true: Any, y_pred: Any, weight: Any, kinds: Any) -> list[Any]:
        """The counts of `kinds`, each `(thresholds,)`, or `(thresholds, labels)`.

        Args:
            y_true: targets of 0 and 1: a vector, or a matrix whose columns are counted apart.
            y_pred: predictions of the same shape.
            weight: weights of the same shape, or `None`.
            kinds: which of `KINDS`.
        """
        dtype = y_pred.dtype
        thresholds = to_tensor(tensor(self._sorted), dtype)
        # The number of thresholds that the prediction is above
        place = lang.searchsorted(thresholds, y_pred, "left")
        labels = tuple(y_pred.shape[1:])
        indices: list[Any] = [place]
        axes: tuple[int, ...] = (0,)
        if labels:
            indices.append(lang.iota((1, *labels), 1, "int32"))
            axes = (0, 1)
        positive = lang.cast(lang.cast(y_true, "bool"), dtype)
        parts = {}
        for sign in ("positives", "negatives"):
            if any(kind in kinds for kind in _ABOVE_AND_BELOW[sign]):
                part = positive if sign == "positives" else lang.sub(1.0, positive)
                if weight is not None:
                    part = lang.mul(part, weight)
                empty = lang.zeros((self._size + 1, *labels), dtype)
                parts[sign] = lang.scatter(empty, part, indices, axes, "add")
        found = []
        for kind in kinds:
            sign, above = _MEANING[kind]
            histogram = parts[sign]
            first, last = (1, self._size + 1) if above else (0, self._size)
            sums = lang.slice_(
                lang.cumsum(histogram, 0, reverse=above),
                (first, *(0,) * len(labels)),
                (last, *labels),
            )
            if self._places is not None:
                sums = lang.gather(sums, (tensor(self._places.astype("int32")),), (0,))
            found.append(sums)
        return found


# kind -> which targets it counts, and whether it counts the predictions above the threshold
_MEANING = {
    "true_positives": ("positives", True),
    "false_negatives": ("positives", False),
    "false_positives": ("negatives", True),
    "true_negatives": ("negatives", False),
}
_ABOVE_AND_BELOW = {
    sign: tuple(kind for kind, (of, _) in _MEANING.items() if of == sign)
    for sign in ("positives", "negatives")
}


def quotient(x: Any, y: Any) -> Any:
    """x / y, and 0 where y is 0."""
    none = lang.eq(y, 0)
    return lang.select(none, 0.0, lang.div(x, lang.select(none, 1.0, y)))
