"""Accuracies: how often predictions are right."""

from __future__ import annotations

from typing import Any

from kbackend.base import config
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.operators import promote
from kbackend.losses.alignment import align, squeeze_last
from kbackend.metrics.reduction import NamedMean


def _matches(x: Any, y: Any) -> Any:
    """1 where two tensors are equal, else 0."""
    if x.dtype != y.dtype:
        x, y = promote(x, y)
    return lang.cast(lang.eq(x, y), config.floatx())


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """Where predictions equal targets, as 1 and 0."""
    return _matches(*align(to_tensor(y_true), to_tensor(y_pred)))


class Accuracy(NamedMean):
    """How often predictions equal targets.

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> Accuracy()([1, 2, 3, 4], [0, 2, 3, 4]).item()
        0.75
    """

    def __init__(self, name: str | None = "accuracy", dtype: Any = None) -> None:
        super().__init__(accuracy, name=name, dtype=dtype)


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """Where predictions, rounded at a threshold, equal targets of 0 and 1.

    Args:
        y_true: labels of 0 and 1.
        y_pred: predictions.
        threshold: predictions above it stand for 1.

    Returns:
        A `floatx` tensor of 1 and 0, shaped like the predictions.

    Example:
        >>> binary_accuracy([1, 1, 0, 0], [0.98, 1.0, 0.0, 0.6]).tolist()
        [1.0, 1.0, 1.0, 0.0]
    """
    y_true, y_pred = align(to_tensor(y_true), to_tensor(y_pred))
    above = lang.lt(*promote(threshold, y_pred))
    return _matches(lang.cast(above, y_true.dtype), y_true)


class BinaryAccuracy(NamedMean):
    """How often predictions, rounded at a threshold, equal targets of 0 and 1.

    Args:
        name: name.
        dtype: dtype of the computation.
        threshold: predictions above it stand for 1.

    Example:
        >>> BinaryAccuracy()([1, 1, 0, 0], [0.98, 1.0, 0.0, 0.6]).item()
        0.75
    """

    def __init__(
        self, name: str | None = "binary_accuracy", dtype: Any = None, threshold: float = 0.5
    ) -> None:
        super().__init__(binary_accuracy, name=name, dtype=dtype, threshold=threshold)
        self.threshold = threshold


def _last_argmax(x: Any) -> Any:
    return lang.argmax(x, len(x.shape) - 1)


def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Where the greatest prediction is at the place of the greatest target.

    Args:
        y_true: one-hot labels, `(batch, ..., classes)`.
        y_pred: predictions of the same shape.

    Returns:
        A `floatx` tensor of 1 and 0 without the last dimension.

    Example:
        >>> categorical_accuracy([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0, 1, 0]]).tolist()
        [0.0, 1.0]
    """
    return _matches(_last_argmax(to_tensor(y_true)), _last_argmax(to_tensor(y_pred)))


class CategoricalAccuracy(NamedMean):
    """How often the greatest prediction is that of the target's class, given as one-hot labels.

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> CategoricalAccuracy()([[0, 1], [0, 1]], [[0.2, 0.8], [0.7, 0.3]]).item()
        0.5
    """

    def __init__(self, name: str | None = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(categorical_accuracy, name=name, dtype=dtype)


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Where the greatest prediction is at the place that the label names.

    Args:
        y_true: integer labels, shaped like `y_pred` without its last dimension (or with size 1).
        y_pred: predictions, `(batch, ..., classes)`.

    Returns:
        A `floatx` tensor of 1 and 0, shaped like the labels.

    Example:
        >>> sparse_categorical_accuracy([2, 1], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]).tolist()
        [0.0, 1.0]
    """
    y_true, y_pred = to_tensor(y_true), to_tensor(y_pred)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = squeeze_last(y_true)
    return _matches(y_true, _last_argmax(y_pred))


class SparseCategoricalAccuracy(NamedMean):
    """How often the greatest prediction is that of the target's class, given as an integer.

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> SparseCategoricalAccuracy()([1, 1], [[0.2, 0.8], [0.7, 0.3]]).item()
        0.5
    """

    _casts_targets = False

    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(sparse_categorical_accuracy, name=name, dtype=dtype)


# ----- among the k greatest -----


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """Where the class of the greatest target is among the k greatest predictions.

    Args:
        y_true: one-hot labels, `(batch, ..., classes)`.
        y_pred: predictions of the same shape.
        k: how many predictions count.

    Returns:
        A `floatx` tensor of 1 and 0 without the last dimension.

    Example:
        >>> top_k_categorical_accuracy([[0, 0, 1]], [[0.1, 0.9, 0.8]], k=2).tolist()
        [1.0]
    """
    return _among(_last_argmax(to_tensor(y_true)), to_tensor(y_pred), k)


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Any:
    """Where the label is among the k greatest predictions.

    Args:
        y_true: integer labels, shaped like `y_pred` without its last dimension (or with size 1).
        y_pred: predictions, `(batch, ..., classes)`; or classes, the best first.
        k: how many predictions count.
        from_sorted_ids: whether `y_pred` holds classes.

    Returns:
        A `floatx` tensor of 1 and 0, shaped like the labels.

    Example:
        >>> sparse_top_k_categorical_accuracy([2, 0], [[0.1, 0.9, 0.8], [0, 2, 1]], k=2).tolist()
        [1.0, 0.0]
    """
    y_true, y_pred = to_tensor(y_true), to_tensor(y_pred)
    shape = tuple(y_true.shape)
    if len(shape) == len(y_pred.shape) and shape[-1] == 1:
        y_true = squeeze_last(y_true)
    if from_sorted_ids:
        last = len(y_pred.shape) - 1
        keep = min(k, y_pred.shape[last])
        best = lang.slice_(y_pred, (0,) * (last + 1), (*y_pred.shape[:last], keep))
        labels = lang.reshape(lang.cast(y_true, best.dtype), (*y_true.shape, 1))
        found = lang.reduce_max(lang.eq(best, labels), (last,))
        matches = lang.cast(found, config.floatx())
    else:
        matches = _among(y_true, y_pred, k)
    return matches if tuple(matches.shape) == shape else lang.reshape(matches, shape)


def _among(labels: Any, scores: Any, k: int) -> Any:
    """Whether fewer than k scores are above the label's. A label that is no class never counts."""
    last = len(scores.shape) - 1
    classes = lang.iota((1,) * last + (scores.shape[last],), last, "int32")
    labels = lang.reshape(lang.cast(labels, "int32"), (*labels.shape, 1))
    at_label = lang.eq(classes, labels)
    own = lang.reduce_sum(lang.select(at_label, scores, 0.0), (last,), True)
    above = lang.reduce_sum(lang.cast(lang.lt(own, scores), "int32"), (last,))
    known = lang.reduce_max(at_label, (last,))
    finite = lang.reshape(lang.isfinite(own), tuple(scores.shape[:last]))
    within = lang.bitwise_and(lang.lt(above, k), lang.bitwise_and(known, finite))
    return lang.cast(within, config.floatx())


class TopKCategoricalAccuracy(NamedMean):
    """How often the class of the target is among the k greatest predictions.

    Args:
        k: how many predictions count.
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> TopKCategoricalAccuracy(k=1)([[0, 1], [0, 1]], [[0.2, 0.8], [0.7, 0.3]]).item()
        0.5
    """

    def __init__(
        self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: Any = None
    ) -> None:
        super().__init__(top_k_categorical_accuracy, name=name, dtype=dtype, k=k)
        self.k = k


class SparseTopKCategoricalAccuracy(NamedMean):
    """How often the integer label is among the k greatest predictions.

    Args:
        k: how many predictions count.
        name: name.
        dtype: dtype of the computation.
        from_sorted_ids: whether predictions are classes, the best first.

    Example:
        >>> SparseTopKCategoricalAccuracy(k=1)([1, 1], [[0.2, 0.8], [0.7, 0.3]]).item()
        0.5
    """

    _casts_targets = False
    _defaults = {"from_sorted_ids": False}  # noqa: RUF012 - never mutated

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(
            sparse_top_k_categorical_accuracy,
            name=name,
            dtype=dtype,
            k=k,
            from_sorted_ids=from_sorted_ids,
        )
        self.k = k
        self.from_sorted_ids = from_sorted_ids
