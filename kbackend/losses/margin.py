"""Hinge losses: zero once a prediction is on the right side of the margin."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.losses.alignment import mean_last, paired
from kbackend.losses.wrapper import NamedLoss


def _signs(y_true: Any) -> Any:
    """Labels of 0 and 1 as -1 and 1, if there are no others."""
    if not y_true.shape:
        binary = lang.bitwise_or(lang.eq(y_true, 0), lang.eq(y_true, 1))
    else:
        each = lang.bitwise_or(lang.eq(y_true, 0), lang.eq(y_true, 1))
        binary = lang.reduce_min(each, tuple(range(len(y_true.shape))))
    return lang.select(binary, lang.sub(lang.mul(y_true, 2.0), 1.0), y_true)


def _margin(y_true: Any, y_pred: Any) -> Any:
    y_true, y_pred = paired(y_true, y_pred)
    return lang.maximum(lang.sub(1.0, lang.mul(_signs(y_true), y_pred)), 0.0)


def hinge(y_true: Any, y_pred: Any) -> Any:
    """Mean over the last dimension of `max(1 - y_true * y_pred, 0)`.

    Args:
        y_true: labels of -1 and 1, or of 0 and 1, which stand for them, `(batch, ..., n)`.
        y_pred: predictions of the same shape.

    Returns:
        The losses, without the last dimension.

    Example:
        >>> hinge([[-1.0, 1.0]], [[0.5, 0.5]]).tolist()
        [1.0]
    """
    return mean_last(_margin(y_true, y_pred), "hinge")


class Hinge(NamedLoss):
    """Mean of `max(1 - y_true * y_pred, 0)`.

    Args:
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> Hinge()([[-1.0, 1.0]], [[0.5, 0.5]]).item()
        1.0
    """

    def __init__(
        self,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(hinge, reduction, name, dtype)


def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """Mean over the last dimension of the squares of `max(1 - y_true * y_pred, 0)`.

    Args:
        y_true: labels of -1 and 1, or of 0 and 1, which stand for them, `(batch, ..., n)`.
        y_pred: predictions of the same shape.

    Returns:
        The losses, without the last dimension.

    Example:
        >>> squared_hinge([[-1.0, 1.0]], [[0.5, 0.5]]).tolist()
        [1.25]
    """
    margin = _margin(y_true, y_pred)
    return mean_last(lang.mul(margin, margin), "squared_hinge")


class SquaredHinge(NamedLoss):
    """Mean of the squares of `max(1 - y_true * y_pred, 0)`.

    Args:
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> SquaredHinge()([[-1.0, 1.0]], [[0.5, 0.5]]).item()
        1.25
    """

    def __init__(
        self,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "squared_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(squared_hinge, reduction, name, dtype)


def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """How much the best wrong class comes closer than 1 to the right one.

    Args:
        y_true: one-hot labels, `(batch, ..., classes)`.
        y_pred: predictions of the same shape.

    Returns:
        The losses, without the last dimension.

    Example:
        >>> categorical_hinge([[0.0, 1.0, 0.0]], [[0.5, 0.75, 0.25]]).tolist()
        [0.75]
    """
    y_true, y_pred = paired(y_true, y_pred)
    product = lang.mul(y_true, y_pred)
    last = (max(len(product.shape) - 1, 0),)
    right = lang.reduce_sum(product, last)
    wrong = lang.reduce_max(lang.mul(lang.sub(1.0, y_true), y_pred), last)
    return lang.maximum(lang.add(lang.sub(wrong, right), 1.0), 0.0)


class CategoricalHinge(NamedLoss):
    """How much the best wrong class comes closer than 1 to the right one.

    Args:
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> CategoricalHinge()([[0.0, 1.0, 0.0]], [[0.5, 0.75, 0.25]]).item()
        0.75
    """

    def __init__(
        self,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "categorical_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(categorical_hinge, reduction, name, dtype)
