"""Metrics of predicted probabilities: the means of cross entropies and divergences."""

from __future__ import annotations

from typing import Any

from kbackend.losses.crossentropy import (
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)
from kbackend.losses.probabilistic import kl_divergence, poisson
from kbackend.metrics.reduction import NamedMean


class BinaryCrossentropy(NamedMean):
    """Cross entropy of labels and predictions of two classes.

    Args:
        name: name.
        dtype: dtype of the computation.
        from_logits: whether predictions are logits.
        label_smoothing: how far labels are moved towards 1/2, from 0 to 1.

    Example:
        >>> BinaryCrossentropy()([[1.0], [0.0]], [[0.5], [0.25]]).item()
        0.490
    """

    def __init__(
        self,
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        super().__init__(
            binary_crossentropy,
            name=name,
            dtype=dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
        )
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing


class CategoricalCrossentropy(NamedMean):
    """Cross entropy of target and predicted distributions.

    Args:
        name: name.
        dtype: dtype of the computation.
        from_logits: whether predictions are logits.
        label_smoothing: how far targets are moved towards the uniform distribution, from 0 to 1.
        axis: the dimension of the classes.

    Example:
        >>> CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]).item()
        0.693
    """

    def __init__(
        self,
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: Any = -1,
    ) -> None:
        super().__init__(
            categorical_crossentropy,
            name=name,
            dtype=dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


class SparseCategoricalCrossentropy(NamedMean):
    """Cross entropy of integer labels and predicted distributions.

    Args:
        name: name.
        dtype: dtype of the computation.
        from_logits: whether predictions are logits.
        ignore_class: label of places that cost nothing.
        axis: the dimension of the classes.

    Example:
        >>> SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]).item()
        0.693
    """

    _casts_targets = False

    def __init__(
        self,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(
            sparse_categorical_crossentropy,
            name=name,
            dtype=dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis


class KLDivergence(NamedMean):
    """Kullback-Leibler divergence of predicted from target distributions.

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> KLDivergence()([[0.0, 1.0]], [[0.5, 0.5]]).item()
        0.693
    """

    def __init__(self, name: str | None = "kl_divergence", dtype: Any = None) -> None:
        super().__init__(kl_divergence, name=name, dtype=dtype)


class Poisson(NamedMean):
    """Mean of `y_pred - y_true * log(y_pred)`.

    Args:
        name: name.
        dtype: dtype of the computation.

    Example:
        >>> Poisson()([[0.0, 1.0]], [[1.0, 1.0]]).item()
        1.0
    """

    def __init__(self, name: str | None = "poisson", dtype: Any = None) -> None:
        super().__init__(poisson, name=name, dtype=dtype)
