"""Areas under curves that plot two rates over all thresholds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.tensor import tensor
from kbackend.losses.alignment import align, mean_over
from kbackend.metrics.counts import (
    KINDS,
    ThresholdCounts,
    checked_thresholds,
    quotient,
    weights_like,
)
from kbackend.metrics.metric import Metric
from kbackend.metrics.operating_point import even_thresholds

_CURVES = ("ROC", "PR", "PRGAIN")
_SUMMATIONS = ("interpolation", "minoring", "majoring")


def _option(value: Any, allowed: tuple[str, ...], name: str) -> str:
    found = next((a for a in allowed if str(value).lower() == a.lower()), None)
    if found is None:
        raise ValueError(
            f"[AUC] '{name}' must be one of {', '.join(map(repr, allowed))}. "
            f"Received: {name}={value!r}."
        )
    return found


def _share(x: Any, other: Any) -> Any:
    return quotient(x, lang.add(x, other))


def _from(x: Any) -> Any:
    """All but the first row."""
    return lang.slice_(x, (1, *(0,) * (len(x.shape) - 1)), tuple(x.shape))


def _to(x: Any) -> Any:
    """All but the last row."""
    return lang.slice_(x, (0,) * len(x.shape), (x.shape[0] - 1, *x.shape[1:]))


class AUC(Metric):
    """Area under the curve of two rates, by a sum over thresholds.

    Args:
        num_thresholds: number of evenly spaced thresholds.
        curve: "ROC" (sensitivity over false positive rate), "PR" (precision over recall), or
            "PRGAIN" (precision gain over recall gain).
        summation_method: "interpolation", "minoring" (an area that is not above the true one) or
            "majoring" (not below it).
        name: name.
        dtype: dtype of the computation.
        thresholds: thresholds to use instead; 0 and 1 are added.
        multi_label: whether each label has a curve of its own; the areas are averaged.
        num_labels: number of labels; makes the variables at once.
        label_weights: weights of the labels.
        from_logits: whether predictions are logits.

    Raises:
        ValueError: an argument is none of these.

    Example:
        >>> metric = AUC(num_thresholds=3)
        >>> metric.update_state([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])
        >>> metric.result().item()
        0.75

    Reference:
        J. Davis, M. Goadrich, "The relationship between precision-recall and ROC curves", 2006.
        P. Flach, M. Kull, "Precision-recall-gain curves: PR analysis done right", 2015.
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Any = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        self.curve = _option(curve, _CURVES, "curve")
        self.summation_method = _option(summation_method, _SUMMATIONS, "summation_method")
        if num_labels is not None and not multi_label:
            raise ValueError(
                "[AUC] 'num_labels' needs multi_label=True. "
                f"Received: num_labels={num_labels}, multi_label=False."
            )
        if thresholds is None and num_thresholds <= 1:
            raise ValueError(
                "[AUC] 'num_thresholds' must be an integer of at least 2. "
                f"Received: num_thresholds={num_thresholds}."
            )
        self._given = None
        if thresholds is None:
            self.thresholds = even_thresholds(num_thresholds)
        else:
            self._given = sorted(float(t) for t in checked_thresholds(thresholds, 0.5, "AUC"))
            self.thresholds = [-1e-7, *self._given, 1.0 + 1e-7]
        super().__init__(name=name, dtype=dtype)
        self.num_thresholds = len(self.thresholds)
        self.multi_label = multi_label
        self.num_labels = num_labels
        self._from_logits = from_logits
        self.label_weights = None
        if label_weights is not None:
            self.label_weights = np.asarray(label_weights, dtype="float32").tolist()
            if any(weight < 0 for weight in self.label_weights):
                raise ValueError(
                    "[AUC] 'label_weights' must not be negative. "
                    f"Received: label_weights={label_weights}."
                )
        self._counts = ThresholdCounts(self.thresholds)
        self._counters: list[Any] = []
        if not multi_label or num_labels:
            self._build(num_labels)

    def _build(self, labels: int | None) -> None:
        shape = (self.num_thresholds,) if labels is None else (self.num_thresholds, labels)
        for kind in KINDS:
            counter = self.add_variable(shape, "zeros", dtype=self.dtype, name=kind)
            self._counters.append(counter)
            setattr(self, kind, counter)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts a batch.

        Args:
            y_true: targets of 0 and 1.
            y_pred: predictions of the same shape, between 0 and 1, or logits.
            sample_weight: weights of the samples, or of the elements.

        Raises:
            ValueError: the shapes do not fit.
        """
        y_true, y_pred = align(to_tensor(y_true, self._dtype), to_tensor(y_pred, self._dtype))
        shape = tuple(y_pred.shape)
        if tuple(y_true.shape) != shape or (self.multi_label and len(shape) != 2):
            raise ValueError(
                f"[{self.name}] 'y_true' and 'y_pred' must have the same shape, (batch, labels) "
                f"for multiple labels. Received: y_true.shape={tuple(y_true.shape)}, "
                f"y_pred.shape={shape}."
            )
        if not self._counters:
            self._build(shape[1])
        elif self.multi_label and self._counters[0].shape[1] != shape[1]:
            raise ValueError(
                f"[{self.name}] counts {self._counters[0].shape[1]} labels. "
                f"Received: y_pred.shape={shape}."
            )
        if self._from_logits:
            y_pred = lang.sigmoid(y_pred)
        # What lies outside [0, 1] counts as its nearer end.
        y_pred = lang.minimum(lang.maximum(y_pred, 0.0), 1.0)
        weight = None if sample_weight is None else weights_like(sample_weight, y_pred)
        if not self.multi_label:
            if self.label_weights is not None:
                by_label = lang.broadcast_to(to_tensor(self.label_weights, self._dtype), shape)
                weight = by_label if weight is None else lang.mul(weight, by_label)
            y_true, y_pred = lang.reshape(y_true, (-1,)), lang.reshape(y_pred, (-1,))
            weight = None if weight is None else lang.reshape(weight, (-1,))
        found = self._counts.count(y_true, y_pred, weight, KINDS)
        for counter, value in zip(self._counters, found, strict=True):
            counter.assign(lang.add(counter.read(), value))

    def result(self) -> Any:
        """The area, averaged over labels; 0 before the first batch."""
        if not self._counters:
            return tensor(0.0, self._dtype)
        counts = [counter.read() for counter in self._counters]
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = _interpolated_precision_recall(*counts)
        else:
            x, y = _POINTS[self.curve](*counts)
            first, second = _to(y), _from(y)
            if self.summation_method == "interpolation":
                height = lang.mul(lang.add(first, second), 0.5)
            elif self.summation_method == "minoring":
                height = lang.minimum(first, second)
            else:
                height = lang.maximum(first, second)
            areas = lang.reduce_sum(lang.mul(lang.sub(_to(x), _from(x)), height), (0,))
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return mean_over(areas, (0,))
        weights = to_tensor(self.label_weights, self._dtype)
        return quotient(
            lang.reduce_sum(lang.mul(areas, weights), (0,)), lang.reduce_sum(weights, (0,))
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {
            **super().get_config(),
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": self.label_weights,
            "from_logits": self._from_logits,
        }
        if self._given is not None:
            config["thresholds"] = self._given
        return config


# ----- points of the curves -----


def _roc(tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
    return _share(fp, tn), _share(tp, fn)


def _precision_recall(tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
    return _share(tp, fn), _share(tp, fp)


def _gains(tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
    """Recall gain and precision gain: 1 at best, 0 where always predicting 1 does as well.

    Points with a negative recall gain are moved to the start of the curve.
    """
    odds = quotient(lang.add(tp, fn), lang.add(fp, tn))

    def gain(wrong: Any) -> Any:
        none = lang.eq(tp, 0)
        ratio = lang.div(lang.mul(odds, wrong), lang.select(none, 1.0, tp))
        return lang.select(none, 0.0, lang.sub(1.0, ratio))

    return lang.maximum(gain(fn), 0.0), gain(fp)


_POINTS: dict[str, Callable[..., tuple[Any, Any]]] = {
    "ROC": _roc,
    "PR": _precision_recall,
    "PRGAIN": _gains,
}


def _interpolated_precision_recall(tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
    """Area under precision over recall, with true positives linear in all positives between points.

    There precision is `(a + b p) / p` in the number p of predicted positives, whose integral has
    a logarithm.
    """
    predicted = lang.add(tp, fp)
    before, after = _to(predicted), _from(predicted)
    steps = lang.sub(_to(tp), _from(tp))
    slope = quotient(steps, lang.maximum(lang.sub(before, after), 0.0))
    intercept = lang.sub(_from(tp), lang.mul(slope, after))
    both = lang.bitwise_and(lang.lt(0, before), lang.lt(0, after))
    ratio = lang.select(both, lang.div(before, lang.select(both, after, 1.0)), 1.0)
    logs = lang.mul(intercept, lang.log(ratio))
    pieces = quotient(
        lang.mul(slope, lang.add(steps, logs)),
        lang.maximum(lang.add(_from(tp), _from(fn)), 0.0),
    )
    return lang.reduce_sum(pieces, (0,))
