"""Losses of regression: differences between targets and predictions, averaged per sample."""

from __future__ import annotations

import math
from typing import Any

from kbackend.base import config, shapes
from kbackend.core import lang
from kbackend.losses.alignment import mean_last, paired
from kbackend.losses.wrapper import NamedLoss
from kbackend.ops.nn.activation import softplus_c
from kbackend.ops.nn.norm import normalize


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """Mean over the last dimension of the squares of the differences.

    Args:
        y_true: targets, `(batch, ..., n)`.
        y_pred: predictions of the same shape.

    Returns:
        The losses, without the last dimension.

    Example:
        >>> mean_squared_error([[0.0, 1.0]], [[2.0, 1.0]]).tolist()
        [2.0]
    """
    y_true, y_pred = paired(y_true, y_pred)
    error = lang.sub(y_true, y_pred)
    return mean_last(lang.mul(error, error), "mean_squared_error")


class MeanSquaredError(NamedLoss):
    """Mean of the squares of the differences.

    Args:
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> MeanSquaredError()([[0.0, 1.0]], [[2.0, 1.0]]).item()
        2.0
    """

    def __init__(
        self,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "mean_squared_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_error, reduction, name, dtype)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """Mean over the last dimension of the absolute differences.

    Args:
        y_true: targets, `(batch, ..., n)`.
        y_pred: predictions of the same shape.

    Returns:
        The losses, without the last dimension.

    Example:
        >>> mean_absolute_error([[0.0, 1.0]], [[2.0, 1.0]]).tolist()
        [1.0]
    """
    y_true, y_pred = paired(y_true, y_pred)
    return mean_last(lang.abs_(lang.sub(y_true, y_pred)), "mean_absolute_error")


class MeanAbsoluteError(NamedLoss):
    """Mean of the absolute differences.

    Args:
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> MeanAbsoluteError()([[0.0, 1.0]], [[2.0, 1.0]]).item()
        1.0
    """

    def __init__(
        self,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "mean_absolute_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_error, reduction, name, dtype)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """Mean over the last dimension of the absolute differences in percent of the targets.

    Args:
        y_true: targets, `(batch, ..., n)`.
        y_pred: predictions of the same shape.

    Returns:
        The losses, without the last dimension.

    Example:
        >>> mean_absolute_percentage_error([[2.0, 4.0]], [[1.0, 4.0]]).tolist()
        [25.0]
    """
    y_true, y_pred = paired(y_true, y_pred)
    # The bound keeps targets of zero from dividing by zero.
    size = lang.maximum(lang.abs_(y_true), config.epsilon())
    share = lang.abs_(lang.div(lang.sub(y_true, y_pred), size))
    return lang.mul(mean_last(share, "mean_absolute_percentage_error"), 100.0)


class MeanAbsolutePercentageError(NamedLoss):
    """Mean of the absolute differences in percent of the targets.

    Args:
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> MeanAbsolutePercentageError()([[2.0, 4.0]], [[1.0, 4.0]]).item()
        25.0
    """

    def __init__(
        self,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_percentage_error, reduction, name, dtype)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """Mean over the last dimension of the squared differences of log(1 + x).

    Args:
        y_true: targets, `(batch, ..., n)`.
        y_pred: predictions of the same shape.

    Returns:
        The losses, without the last dimension.

    Example:
        >>> mean_squared_logarithmic_error([[0.0, 1.0]], [[1.718, 1.0]]).tolist()
        [0.5]
    """
    y_true, y_pred = paired(y_true, y_pred)
    error = lang.sub(_log_above(y_true), _log_above(y_pred))
    return mean_last(lang.mul(error, error), "mean_squared_logarithmic_error")


def _log_above(x: Any) -> Any:
    """log(1 + x), of negative numbers as if they were `epsilon`."""
    return lang.log(lang.add(lang.maximum(x, config.epsilon()), 1.0))


class MeanSquaredLogarithmicError(NamedLoss):
    """Mean of the squared differences of log(1 + x).

    Args:
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> MeanSquaredLogarithmicError()([[0.0, 1.0]], [[1.718, 1.0]]).item()
        0.5
    """

    def __init__(
        self,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_logarithmic_error, reduction, name, dtype)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """Squared differences up to `delta`, linear beyond it, averaged over the last dimension.

    Args:
        y_true: targets, `(batch, ..., n)`.
        y_pred: predictions of the same shape.
        delta: difference from which on the loss is linear.

    Returns:
        The losses, without the last dimension.

    Example:
        >>> huber([[0.0, 0.0]], [[1.0, 3.0]]).tolist()
        [1.5]

    Reference:
        P. Huber, "Robust estimation of a location parameter", 1964.
    """
    y_true, y_pred = paired(y_true, y_pred)
    error = lang.sub(y_pred, y_true)
    size = lang.abs_(error)
    square = lang.mul(lang.mul(error, error), 0.5)
    line = lang.sub(lang.mul(size, float(delta)), 0.5 * delta * delta)
    return mean_last(lang.select(lang.le(size, float(delta)), square, line), "huber")


class Huber(NamedLoss):
    """Squared differences up to `delta`, linear beyond it.

    Args:
        delta: difference from which on the loss is linear.
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> Huber(delta=1.0)([[0.0, 0.0]], [[1.0, 3.0]]).item()
        1.5
    """

    _defaults = {"delta": 1.0}  # noqa: RUF012 - never mutated

    def __init__(
        self,
        delta: float = 1.0,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            huber,
            reduction,
            name,
            dtype,
            delta=delta,
        )
        self.delta = delta


def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """Logarithm of the hyperbolic cosine of the differences, averaged over the last dimension.

    Args:
        y_true: targets, `(batch, ..., n)`.
        y_pred: predictions of the same shape.

    Returns:
        The losses, without the last dimension.

    Example:
        >>> log_cosh([[0.0, 0.0]], [[0.0, 1.0]]).tolist()
        [0.217]
    """
    y_true, y_pred = paired(y_true, y_pred)
    error = lang.sub(y_pred, y_true)
    # log(cosh(x)) = x + log(1 + exp(-2x)) - log(2), which does not overflow
    value = lang.sub(lang.add(error, softplus_c(lang.mul(error, -2.0))), math.log(2.0))
    return mean_last(value, "log_cosh")


class LogCosh(NamedLoss):
    """Logarithm of the hyperbolic cosine of the differences.

    Args:
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> LogCosh()([[0.0, 0.0]], [[0.0, 1.0]]).item()
        0.217
    """

    def __init__(
        self,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "log_cosh",
        dtype: Any = None,
    ) -> None:
        super().__init__(log_cosh, reduction, name, dtype)


def cosine_similarity(y_true: Any, y_pred: Any, axis: Any = -1) -> Any:
    """Cosine of the angle between targets and predictions along `axis`, negated.

    Args:
        y_true: targets, `(batch, ..., n)`.
        y_pred: predictions of the same shape.
        axis: the dimension of the vectors' components.

    Returns:
        From -1 (the same direction) to 1, without the dimension `axis`.

    Example:
        >>> cosine_similarity([[0.0, 2.0]], [[1.0, 1.0]]).tolist()
        [-0.707]
    """
    y_true, y_pred = paired(y_true, y_pred)
    y_true, y_pred = normalize(y_true, axis=axis), normalize(y_pred, axis=axis)
    product = lang.mul(y_true, y_pred)
    return lang.neg(lang.reduce_sum(product, shapes.canonical_axes(axis, len(product.shape))))


class CosineSimilarity(NamedLoss):
    """Cosine of the angle between targets and predictions, negated: -1 for the same direction.

    Args:
        axis: the dimension of the vectors' components.
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> CosineSimilarity()([[0.0, 2.0]], [[1.0, 1.0]]).item()
        -0.707
    """

    _defaults = {"axis": -1}  # noqa: RUF012 - never mutated

    def __init__(
        self,
        axis: Any = -1,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            cosine_similarity,
            reduction,
            name,
            dtype,
            axis=axis,
        )
        self.axis = axis
