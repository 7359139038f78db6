"""How predictions vary with targets: correlations, and the share of variance explained."""

from __future__ import annotations

import math
from typing import Any

from kbackend.base import shapes
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.tensor import tensor
from kbackend.losses.alignment import align, mean_over, paired
from kbackend.losses.loss import count as count_of
from kbackend.metrics.counts import quotient, weights_like
from kbackend.metrics.metric import Metric
from kbackend.metrics.reduction import NamedMean


def _centered(x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """The mean over `axes`, which stay with size 1, and the differences from it."""
    mean = mean_over(x, axes)
    mean = lang.reshape(mean, tuple(1 if a in axes else d for a, d in enumerate(x.shape)))
    return mean, lang.sub(x, mean)


def pearson_correlation(y_true: Any, y_pred: Any, axis: Any = -1) -> Any:
    """Pearson's correlation of targets and predictions along `axis`.

    Args:
        y_true: targets, `(batch, ..., n)`.
        y_pred: predictions of the same shape.
        axis: dimension to correlate along.

    Returns:
        From -1 to 1, without the dimension `axis`; NaN where either does not vary.

    Example:
        >>> pearson_correlation([[0.0, 1.0, 0.5]], [[0.1, 0.9, 0.5]]).tolist()
        [1.0]
    """
    y_true, y_pred = paired(y_true, y_pred)
    axes = shapes.canonical_axes(axis, len(y_pred.shape))
    _, x = _centered(y_true, axes)
    _, y = _centered(y_pred, axes)
    norm = lang.sqrt(
        lang.mul(lang.reduce_sum(lang.mul(x, x), axes), lang.reduce_sum(lang.mul(y, y), axes))
    )
    return lang.div(lang.reduce_sum(lang.mul(x, y), axes), norm)


def concordance_correlation(y_true: Any, y_pred: Any, axis: Any = -1) -> Any:
    """Concordance correlation along `axis`: how near predictions are to equalling the targets.

    Args:
        y_true: targets, `(batch, ..., n)`.
        y_pred: predictions of the same shape.
        axis: dimension to correlate along.

    Returns:
        From -1 to 1, without the dimension `axis`; 0 where neither varies.

    Example:
        >>> concordance_correlation([[0.0, 1.0, 0.5]], [[0.1, 0.9, 0.5]]).tolist()
        [0.976]

    Reference:
        L. Lin, "A concordance correlation coefficient to evaluate reproducibility", 1989.
    """
    y_true, y_pred = paired(y_true, y_pred)
    axes = shapes.canonical_axes(axis, len(y_pred.shape))
    mean_x, x = _centered(y_true, axes)
    mean_y, y = _centered(y_pred, axes)
    gap = lang.sub(mean_x, mean_y)
    spread = lang.add(mean_over(lang.mul(x, x), axes), mean_over(lang.mul(y, y), axes))
    apart = lang.add(spread, lang.reshape(lang.mul(gap, gap), tuple(spread.shape)))
    return quotient(lang.mul(mean_over(lang.mul(x, y), axes), 2.0), apart)


class PearsonCorrelation(NamedMean):
    """Mean over samples of Pearson's correlation of targets and predictions.

    Args:
        name: name.
        dtype: dtype of the computation.
        axis: dimension to correlate along.

    Example:
        >>> PearsonCorrelation()([[0.0, 1.0, 0.5]], [[0.1, 0.9, 0.5]]).item()
        1.0
    """

    def __init__(
        self, name: str | None = "pearson_correlation", dtype: Any = None, axis: Any = -1
    ) -> None:
        super().__init__(pearson_correlation, name=name, dtype=dtype, axis=axis)
        self.axis = axis


class ConcordanceCorrelation(NamedMean):
    """Mean over samples of the concordance correlation of targets and predictions.

    Args:
        name: name.
        dtype: dtype of the computation.
        axis: dimension to correlate along.

    Example:
        >>> ConcordanceCorrelation()([[0.0, 1.0, 0.5]], [[0.1, 0.9, 0.5]]).item()
        0.976
    """

    def __init__(
        self, name: str | None = "concordance_correlation", dtype: Any = None, axis: Any = -1
    ) -> None:
        super().__init__(concordance_correlation, name=name, dtype=dtype, axis=axis)
        self.axis = axis


_AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")


class R2Score(Metric):
    """Coefficient of determination: the share of the targets' variance that predictions explain.

    Args:
        class_aggregation: `None` (one score per output), "uniform_average" or
            "variance_weighted_average".
        num_regressors: number of regressors, for the adjusted score.
        name: name.
        dtype: dtype of the computation.

    Raises:
        ValueError: an argument is none of these.

    Example:
        >>> R2Score()([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]]).item()
        0.571
    """

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if class_aggregation not in _AGGREGATIONS:
            raise ValueError(
                f"[{self.name}] 'class_aggregation' must be one of "
                f"{', '.join(map(repr, _AGGREGATIONS))}. "
                f"Received: class_aggregation={class_aggregation!r}."
            )
        if num_regressors < 0:
            raise ValueError(
                f"[{self.name}] 'num_regressors' must not be negative. "
                f"Received: num_regressors={num_regressors}."
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.num_samples = self.add_variable((), "zeros", dtype=self.dtype, name="num_samples")
        self._built = False

    def _build(self, outputs: int) -> None:
        def accumulator(name: str) -> Any:
            return self.add_variable((outputs,), "zeros", dtype=self.dtype, name=name)

        self.squared_sum = accumulator("squared_sum")
        self.sum = accumulator("sum")
        self.total_mse = accumulator("residual")
        self.count = accumulator("count")
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch.

        Args:
            y_true: targets, `(batch, outputs)`.
            y_pred: predictions of the same shape.
            sample_weight: weights of the samples, `(batch,)`.

        Raises:
            ValueError: the shapes are others.
        """
        y_true, y_pred = align(to_tensor(y_true, self._dtype), to_tensor(y_pred, self._dtype))
        shape = tuple(y_pred.shape)
        if len(shape) != 2 or len(y_true.shape) != 2 or y_true.shape[1] != shape[1]:
            raise ValueError(
                f"[{self.name}] 'y_true' and 'y_pred' must have the same shape (batch, outputs). "
                f"Received: y_true.shape={tuple(y_true.shape)}, y_pred.shape={shape}."
            )
        if shape[1] is None:
            raise ValueError(f"[{self.name}] the number of outputs must be known.")
        if not self._built:
            self._build(shape[1])
        if sample_weight is None:
            weight = lang.broadcast_to(lang.lift_as(1.0, y_pred, self._dtype), shape)
        else:
            weight = weights_like(sample_weight, y_pred)
        error = lang.sub(y_true, y_pred)
        weighted = lang.mul(y_true, weight)
        for variable, values in (
            (self.squared_sum, lang.mul(weighted, y_true)),
            (self.sum, weighted),
            (self.total_mse, lang.mul(lang.mul(error, error), weight)),
            (self.count, weight),
        ):
            variable.assign(lang.add(variable.read(), lang.reduce_sum(values, (0,))))
        size = count_of(y_true)
        self.num_samples.assign(
            lang.add(self.num_samples.read(), float(size) if size.__class__ is int else size)
        )

    def result(self) -> Any:
        """The score; 0 before the first batch."""
        if not self._built:
            return tensor(0.0, self._dtype)
        sums = self.sum.read()
        spread = lang.sub(
            self.squared_sum.read(), lang.mul(sums, lang.div(sums, self.count.read()))
        )
        scores = lang.sub(1.0, lang.div(self.total_mse.read(), spread))
        # An output that does not vary has no variance to explain.
        scores = lang.select(lang.eq(lang.abs_(scores), math.inf), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            score = mean_over(scores, (0,))
        elif self.class_aggregation == "variance_weighted_average":
            score = quotient(
                lang.reduce_sum(lang.mul(scores, spread), (0,)), lang.reduce_sum(spread, (0,))
            )
        else:
            score = scores
        if not self.num_regressors:
            return score
        # Without more samples than regressors there is no adjusted score.
        freedom = lang.sub(self.num_samples.read(), self.num_regressors + 1.0)
        enough = lang.lt(0, freedom)
        shrink = lang.div(lang.sub(self.num_samples.read(), 1.0), lang.select(enough, freedom, 1.0))
        adjusted = lang.sub(1.0, lang.mul(lang.sub(1.0, score), shrink))
        return lang.select(enough, adjusted, score)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
        }
