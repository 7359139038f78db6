"""Metrics of regression: the means of the losses, and the root of the squared error."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.losses.alignment import paired
from kbackend.losses.regression import (
    cosine_similarity as negated_cosine,
)
from kbackend.losses.regression import (
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from kbackend.metrics.reduction import Mean, NamedMean


class MeanSquaredError(NamedMean):
    """Mean of the squares of the differences.

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> MeanSquaredError()([[0.0, 1.0]], [[2.0, 1.0]]).item()
        2.0
    """

    def __init__(self, name: str | None = "mean_squared_error", dtype: Any = None) -> None:
        super().__init__(mean_squared_error, name=name, dtype=dtype)


class RootMeanSquaredError(Mean):
    """Root of the mean of the squares of the differences.

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> RootMeanSquaredError()([[0.0, 1.0]], [[4.0, 1.0]]).item()
        2.828
    """

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Adds a batch.

        Args:
            y_true: targets.
            y_pred: predictions. Their mask, if they have one, is not regarded.
            sample_weight: weights of the samples, or of the elements.
        """
        y_true, y_pred = paired(y_true, to_tensor(y_pred, self._dtype))
        error = lang.sub(y_pred, y_true)
        super().update_state(lang.mul(error, error), sample_weight)

    def result(self) -> Any:
        """The root of the mean."""
        return lang.sqrt(super().result())


class MeanAbsoluteError(NamedMean):
    """Mean of the absolute differences.

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> MeanAbsoluteError()([[0.0, 1.0]], [[2.0, 1.0]]).item()
        1.0
    """

    def __init__(self, name: str | None = "mean_absolute_error", dtype: Any = None) -> None:
        super().__init__(mean_absolute_error, name=name, dtype=dtype)


class MeanAbsolutePercentageError(NamedMean):
    """Mean of the absolute differences in percent of the targets.

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> MeanAbsolutePercentageError()([[2.0, 4.0]], [[1.0, 4.0]]).item()
        25.0
    """

    def __init__(
        self, name: str | None = "mean_absolute_percentage_error", dtype: Any = None
    ) -> None:
        super().__init__(mean_absolute_percentage_error, name=name, dtype=dtype)


class MeanSquaredLogarithmicError(NamedMean):
    """Mean of the squared differences of log(1 + x).

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> MeanSquaredLogarithmicError()([[0.0, 1.0]], [[1.718, 1.0]]).item()
        0.5
    """

    def __init__(
        self, name: str | None = "mean_squared_logarithmic_error", dtype: Any = None
    ) -> None:
        super().__init__(mean_squared_logarithmic_error, name=name, dtype=dtype)


class LogCoshError(NamedMean):
    """Logarithm of the hyperbolic cosine of the differences.

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> LogCoshError()([[0.0, 0.0]], [[0.0, 1.0]]).item()
        0.217
    """

    def __init__(self, name: str | None = "logcosh", dtype: Any = None) -> None:
        super().__init__(log_cosh, name=name, dtype=dtype)


def _cosine(y_true: Any, y_pred: Any, axis: Any = -1) -> Any:
    return lang.neg(negated_cosine(y_true, y_pred, axis))


class CosineSimilarity(NamedMean):
    """Cosine of the angle between targets and predictions: 1 for the same direction.

    Args:
        name: name.
        dtype: dtype of the computation.
        axis: the dimension of the vectors' components.

    Example:
        >>> CosineSimilarity()([[0.0, 2.0]], [[1.0, 1.0]]).item()
        0.707
    """

    _defaults = {"axis": -1}  # noqa: RUF012 - never mutated

    def __init__(
        self, name: str | None = "cosine_similarity", dtype: Any = None, axis: Any = -1
    ) -> None:
        super().__init__(_cosine, name=name, dtype=dtype, axis=axis)
