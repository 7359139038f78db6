"""Intersection over union of predicted and true regions, from a matrix of confusions."""

from __future__ import annotations

import warnings
from typing import Any

from kbackend.base.dtypes import is_float
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.losses.alignment import align
from kbackend.metrics.counts import quotient
from kbackend.metrics.metric import Metric


class _Confusions(Metric):
    """Base: the matrix of how often (row) is taken for (column)."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        # Counts, unless the user wants weights that are not whole.
        super().__init__(name=name, dtype=dtype or "int32")
        self.num_classes = num_classes
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.total_cm = self.add_variable(
            (num_classes, num_classes), "zeros", dtype=self.dtype, name="total_confusion_matrix"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts a batch.

        Args:
            y_true: classes, or scores of the classes if they are not sparse.
            y_pred: predicted classes, or scores of the classes if they are not sparse.
            sample_weight: weights of the classes' places, in the metric's dtype.

        Raises:
            ValueError: the shapes do not fit.
        """
        y_true = self._classes(y_true, self.sparse_y_true)
        y_pred = self._classes(y_pred, self.sparse_y_pred)
        shape = tuple(y_true.shape)
        y_true, y_pred = lang.reshape(y_true, (-1,)), lang.reshape(y_pred, (-1,))
        if y_true.shape != y_pred.shape:
            raise ValueError(
                f"[{self.name}] 'y_true' and 'y_pred' must have as many classes. Received: "
                f"{y_true.shape[0]} and {y_pred.shape[0]}."
            )
        kept = lang.bitwise_and(self._known(y_true), self._known(y_pred))
        if self.ignore_class is not None:
            kept = lang.bitwise_and(kept, lang.ne(y_true, int(self.ignore_class)))
        weight = lang.cast(kept, self._dtype)
        if sample_weight is not None:
            given = to_tensor(sample_weight)
            if is_float(given.dtype) and not is_float(self._dtype):
                warnings.warn(
                    f"[{self.name}] counts in {self._dtype}, so that the fractions of the weights "
                    "are lost. Pass dtype='float32'.",
                    stacklevel=2,
                )
            given = lang.cast(given, self._dtype)
            if given.shape:
                if len(given.shape) < len(shape):
                    missing = len(shape) - len(given.shape)
                    given = lang.reshape(given, (*given.shape, *(1,) * missing))
                if tuple(given.shape) != shape:
                    given, _ = align(given, lang.reshape(y_true, shape), expand=False)
                    given = lang.broadcast_to(given, shape)
                given = lang.reshape(given, (-1,))
            weight = lang.mul(weight, given)
        places = (lang.select(kept, y_true, 0), lang.select(kept, y_pred, 0))
        matrix = lang.scatter(self.total_cm.read(), weight, places, (0, 1), "add")
        self.total_cm.assign(matrix)

    def _classes(self, y: Any, sparse: bool) -> Any:
        y = to_tensor(y)
        if sparse:
            return lang.cast(y, "int32")
        return lang.argmax(y, self.axis % len(y.shape))

    def _known(self, classes: Any) -> Any:
        return lang.bitwise_and(lang.le(0, classes), lang.lt(classes, self.num_classes))

    def _mean_of(self, classes: Any) -> Any:
        """The mean ratio over those of `classes` (all by default) that were met."""
        matrix = self.total_cm.read()
        dtype = matrix.dtype if is_float(matrix.dtype) else "float32"
        matrix = lang.cast(matrix, dtype)
        places = lang.iota((self.num_classes,), 0, "int32")
        right = lang.gather(matrix, (places, places), (0, 1))
        either = lang.sub(
            lang.add(lang.reduce_sum(matrix, (0,)), lang.reduce_sum(matrix, (1,))), right
        )
        if classes is not None:
            chosen = to_tensor([int(c) for c in classes], "int32")
            right, either = (lang.gather(x, (chosen,), (0,)) for x in (right, either))
        met = lang.reduce_sum(lang.cast(lang.lt(0, either), dtype), (0,))
        return quotient(lang.reduce_sum(quotient(right, either), (0,)), met)

    def reset_state(self) -> None:
        """Forgets all counts."""
        self.total_cm.assign(lang.zeros(self.total_cm.shape, self._dtype))


class IoU(_Confusions):
    """Mean intersection over union of some classes.

    Args:
        num_classes: number of classes.
        target_class_ids: the classes to average over.
        name: name.
        dtype: dtype of the counts; int32 by default, so that weights should be whole then.
        ignore_class: class whose places (in the targets) don't count.
        sparse_y_true: whether targets are classes, not one-hot.
        sparse_y_pred: whether predictions are classes, not scores.
        axis: the dimension of the classes of what is not sparse.

    Raises:
        ValueError: a class is out of range.

    Example:
        >>> IoU(num_classes=2, target_class_ids=[0])([0, 0, 1, 1], [0, 1, 0, 1]).item()
        0.333
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Any,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)
        if any(not 0 <= c < num_classes for c in target_class_ids):
            raise ValueError(
                f"[{self.name}] 'target_class_ids' must be at least 0 and below num_classes="
                f"{num_classes}. Received: target_class_ids={target_class_ids}."
            )
        self.target_class_ids = list(target_class_ids)

    def result(self) -> Any:
        """The mean ratio over the target classes that were met."""
        return self._mean_of(self.target_class_ids)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "target_class_ids": self.target_class_ids,
            "ignore_class": self.ignore_class,
            "sparse_y_true": self.sparse_y_true,
            "sparse_y_pred": self.sparse_y_pred,
            "axis": self.axis,
        }


class BinaryIoU(IoU):
    """Mean intersection over union of the classes 0 and 1 of predictions cut at a threshold.

    Args:
        target_class_ids: the classes to average over.
        threshold: predictions from it on stand for 1.
        name: name.
        dtype: dtype of the counts; int32 by default.

    Example:
        >>> BinaryIoU(threshold=0.3)([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7]).item()
        0.333
    """

    def __init__(
        self,
        target_class_ids: Any = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts a batch.

        Args:
            y_true: targets of 0 and 1.
            y_pred: predictions.
            sample_weight: weights of the targets, in the metric's dtype.
        """
        y_pred = to_tensor(y_pred)
        if not is_float(y_pred.dtype):
            y_pred = lang.cast(y_pred, "float32")
        above = lang.cast(lang.le(float(self.threshold), y_pred), "int32")
        super().update_state(y_true, above, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **Metric.get_config(self),
            "target_class_ids": self.target_class_ids,
            "threshold": self.threshold,
        }


class MeanIoU(_Confusions):
    """Mean intersection over union of all classes that are met.

    Args:
        num_classes: number of classes.
        name: name.
        dtype: dtype of the counts; int32 by default, so that weights should be whole then.
        ignore_class: class whose places (in the targets) don't count.
        sparse_y_true: whether targets are classes, not one-hot.
        sparse_y_pred: whether predictions are classes, not scores.
        axis: the dimension of the classes of what is not sparse.

    Example:
        >>> MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1]).item()
        0.333
    """

    def result(self) -> Any:
        """The mean ratio over the classes that were met."""
        return self._mean_of(None)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "ignore_class": self.ignore_class,
            "sparse_y_true": self.sparse_y_true,
            "sparse_y_pred": self.sparse_y_pred,
            "axis": self.axis,
        }


class OneHotIoU(IoU):
    """Mean intersection over union of some classes, with one-hot targets.

    Args:
        num_classes: number of classes.
        target_class_ids: the classes to average over.
        name: name.
        dtype: dtype of the counts; int32 by default.
        ignore_class: class whose places (in the targets) don't count.
        sparse_y_pred: whether predictions are classes, not scores.
        axis: the dimension of the classes.

    Example:
        >>> metric = OneHotIoU(num_classes=2, target_class_ids=[0])
        >>> metric([[1, 0], [0, 1]], [[0.9, 0.1], [0.8, 0.2]]).item()
        0.5
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Any,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["sparse_y_true"]
        return config


class OneHotMeanIoU(MeanIoU):
    """Mean intersection over union of all classes that are met, with one-hot targets.

    Args:
        num_classes: number of classes.
        name: name.
        dtype: dtype of the counts; int32 by default.
        ignore_class: class whose places (in the targets) don't count.
        sparse_y_pred: whether predictions are classes, not scores.
        axis: the dimension of the classes.

    Example:
        >>> OneHotMeanIoU(num_classes=2)([[1, 0], [0, 1]], [[0.9, 0.1], [0.8, 0.2]]).item()
        0.25
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["sparse_y_true"]
        return config
