"""F scores: harmonic means of precision and recall."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.tensor import tensor
from kbackend.losses.alignment import mean_over
from kbackend.metrics.counts import quotient, weights_like
from kbackend.metrics.metric import Metric

_AVERAGES = (None, "micro", "macro", "weighted")


class FBetaScore(Metric):
    """Weighted harmonic mean of precision and recall.

    Args:
        average: `None` (one score per class), "micro" (over all decisions), "macro" (the mean over
            classes) or "weighted" (the mean weighted by the classes' frequencies).
        beta: how many times as important recall is as precision.
        threshold: predictions above it stand for 1; by default the greatest of a sample does.
        name: name.
        dtype: dtype of the computation.

    Raises:
        ValueError: an argument is none of these.

    Example:
        >>> metric = FBetaScore(beta=2.0, threshold=0.5)
        >>> metric.update_state([[1, 1, 1], [1, 0, 0]], [[0.2, 0.6, 0.7], [0.2, 0.6, 0.6]])
        >>> metric.result().tolist()
        [0.0, 0.833, 0.833]
    """

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if average not in _AVERAGES:
            raise ValueError(
                f"[{self.name}] 'average' must be one of {', '.join(map(repr, _AVERAGES))}. "
                f"Received: average={average!r}."
            )
        if not isinstance(beta, float) or beta <= 0:
            raise ValueError(
                f"[{self.name}] 'beta' must be a positive float. Received: beta={beta!r}."
            )
        if threshold is not None and (not isinstance(threshold, float) or not 0 < threshold <= 1):
            raise ValueError(
                f"[{self.name}] 'threshold' must be a float above 0, at most 1. "
                f"Received: threshold={threshold!r}."
            )
        self.average = average
        self.beta = beta
        self.threshold = threshold
        self._built = False

    def _build(self, classes: int) -> None:
        shape = () if self.average == "micro" else (classes,)

        def counter(name: str) -> Any:
            return self.add_variable(shape, "zeros", dtype=self.dtype, name=name)

        self.true_positives = counter("true_positives")
        self.false_positives = counter("false_positives")
        self.false_negatives = counter("false_negatives")
        self.intermediate_weights = counter("intermediate_weights")
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts a batch.

        Args:
            y_true: targets of 0 and 1, `(batch, classes)`.
            y_pred: predictions of the same shape.
            sample_weight: weights of the samples, `(batch,)`.

        Raises:
            ValueError: the shapes are others.
        """
        y_true, y_pred = to_tensor(y_true, self._dtype), to_tensor(y_pred, self._dtype)
        shape = tuple(y_pred.shape)
        if len(shape) != 2 or len(y_true.shape) != 2 or y_true.shape[1] != shape[1]:
            raise ValueError(
                f"[{self.name}] 'y_true' and 'y_pred' must have the same shape (batch, classes). "
                f"Received: y_true.shape={tuple(y_true.shape)}, y_pred.shape={shape}."
            )
        if shape[1] is None:
            raise ValueError(f"[{self.name}] the number of classes must be known.")
        if not self._built:
            self._build(shape[1])
        if self.threshold is None:
            # A sample of zeros alone stands for no class.
            greatest = lang.eq(y_pred, lang.reduce_max(y_pred, (1,), True))
            chosen = lang.bitwise_and(greatest, lang.lt(1e-9, lang.abs_(y_pred)))
        else:
            chosen = lang.lt(self.threshold, y_pred)
        chosen = lang.cast(chosen, self._dtype)
        others = lang.sub(1.0, chosen)
        weight = None if sample_weight is None else weights_like(sample_weight, y_pred)
        axes = (0, 1) if self.average == "micro" else (0,)
        for counter, counted in (
            (self.true_positives, lang.mul(chosen, y_true)),
            (self.false_positives, lang.mul(chosen, lang.sub(1.0, y_true))),
            (self.false_negatives, lang.mul(others, y_true)),
            (self.intermediate_weights, y_true),
        ):
            if weight is not None:
                counted = lang.mul(counted, weight)
            counter.assign(lang.add(counter.read(), lang.reduce_sum(counted, axes)))

    def result(self) -> Any:
        """The score, one per class without averaging; 0 before the first batch."""
        if not self._built:
            return tensor(0.0, self._dtype)
        right = self.true_positives.read()
        precision = quotient(right, lang.add(right, self.false_positives.read()))
        recall = quotient(right, lang.add(right, self.false_negatives.read()))
        square = self.beta**2
        product = lang.mul(lang.mul(precision, recall), 1.0 + square)
        scores = quotient(product, lang.add(lang.mul(precision, square), recall))
        if self.average == "macro":
            return mean_over(scores, (0,))
        if self.average == "weighted":
            weights = self.intermediate_weights.read()
            return quotient(
                lang.reduce_sum(lang.mul(scores, weights), (0,)), lang.reduce_sum(weights, (0,))
            )
        return scores

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "average": self.average,
            "beta": self.beta,
            "threshold": self.threshold,
        }


class F1Score(FBetaScore):
    """Harmonic mean of precision and recall.

    Args:
        average: `None` (one score per class), "micro" (over all decisions), "macro" (the mean over
            classes) or "weighted" (the mean weighted by the classes' frequencies).
        threshold: predictions above it stand for 1; by default the greatest of a sample does.
        name: name.
        dtype: dtype of the computation.

    Raises:
        ValueError: an argument is none of these.

    Example:
        >>> metric = F1Score(threshold=0.5, average="micro")
        >>> metric.update_state([[1, 1, 1], [1, 0, 0]], [[0.2, 0.6, 0.7], [0.2, 0.6, 0.6]])
        >>> metric.result().item()
        0.5
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average=average, beta=1.0, threshold=threshold, name=name, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["beta"]
        return config
