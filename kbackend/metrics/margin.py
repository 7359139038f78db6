"""Metrics of margins: the means of the hinge losses."""

from __future__ import annotations

from typing import Any

from kbackend.losses.margin import categorical_hinge, hinge, squared_hinge
from kbackend.metrics.reduction import NamedMean


class Hinge(NamedMean):
    """Mean of `max(1 - y_true * y_pred, 0)`.

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> Hinge()([[-1.0, 1.0]], [[0.5, 0.5]]).item()
        1.0
    """

    def __init__(self, name: str | None = "hinge", dtype: Any = None) -> None:
        super().__init__(hinge, name=name, dtype=dtype)


class SquaredHinge(NamedMean):
    """Mean of the squares of `max(1 - y_true * y_pred, 0)`.

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> SquaredHinge()([[-1.0, 1.0]], [[0.5, 0.5]]).item()
        1.25
    """

    def __init__(self, name: str | None = "squared_hinge", dtype: Any = None) -> None:
        super().__init__(squared_hinge, name=name, dtype=dtype)


class CategoricalHinge(NamedMean):
    """How much the best wrong class comes closer than 1 to the right one.

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> CategoricalHinge()([[0.0, 1.0, 0.0]], [[0.5, 0.75, 0.25]]).item()
        0.75
    """

    def __init__(self, name: str | None = "categorical_hinge", dtype: Any = None) -> None:
        super().__init__(categorical_hinge, name=name, dtype=dtype)
