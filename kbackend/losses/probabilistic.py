"""Divergences between distributions: Kullback-Leibler, Poisson, generalized cross entropy."""

from __future__ import annotations

from typing import Any

from kbackend.base import config
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.losses.alignment import mean_last, paired, squeeze_last
from kbackend.losses.wrapper import NamedLoss
from kbackend.ops.numpy.common import floating


def _bounded(x: Any) -> Any:
    return lang.minimum(lang.maximum(x, config.epsilon()), 1.0)


def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """Sum over the last dimension of `y_true * log(y_true / y_pred)`.

    Args:
        y_true: distributions, `(batch, ..., n)`; numbers are clipped to [epsilon, 1].
        y_pred: predicted distributions of the same shape.

    Returns:
        The losses, without the last dimension.

    Example:
        >>> kl_divergence([[0.0, 1.0]], [[0.5, 0.5]]).tolist()
        [0.693]
    """
    y_true, y_pred = paired(y_true, y_pred)
    y_true, y_pred = _bounded(y_true), _bounded(y_pred)
    products = lang.mul(y_true, lang.log(lang.div(y_true, y_pred)))
    return lang.reduce_sum(products, (len(products.shape) - 1,))


class KLDivergence(NamedLoss):
    """Kullback-Leibler divergence of predicted from target distributions.

    Args:
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> KLDivergence()([[0.0, 1.0]], [[0.5, 0.5]]).item()
        0.693
    """

    def __init__(
        self,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "kl_divergence",
        dtype: Any = None,
    ) -> None:
        super().__init__(kl_divergence, reduction, name, dtype)


def poisson(y_true: Any, y_pred: Any) -> Any:
    """Mean over the last dimension of `y_pred - y_true * log(y_pred)`.

    Args:
        y_true: counts, `(batch, ..., n)`.
        y_pred: predicted rates of the same shape.

    Returns:
        The losses, without the last dimension.

    Example:
        >>> poisson([[0.0, 1.0]], [[1.0, 1.0]]).tolist()
        [1.0]
    """
    y_true, y_pred = paired(y_true, y_pred)
    logs = lang.log(lang.add(y_pred, config.epsilon()))
    return mean_last(lang.sub(y_pred, lang.mul(y_true, logs)), "poisson")


class Poisson(NamedLoss):
    """Mean of `y_pred - y_true * log(y_pred)`, the likelihood of counts with predicted rates.

    Args:
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> Poisson()([[0.0, 1.0]], [[1.0, 1.0]]).item()
        1.0
    """

    def __init__(
        self,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "poisson",
        dtype: Any = None,
    ) -> None:
        super().__init__(poisson, reduction, name, dtype)


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Any:
    """`(1 - p**q) / q` of the probability p of each label: robust against wrong labels.

    Args:
        y_true: integer labels, `(batch, ...)`, also with a last dimension of size 1.
        y_pred: probabilities, `(batch, ..., classes)`.
        q: between 0 (like the cross entropy) and 1 (like the absolute error).

    Returns:
        The losses, without the last dimension.

    Example:
        >>> categorical_generalized_cross_entropy([1], [[0.75, 0.25]], q=0.5).tolist()
        [1.0]

    Reference:
        Z. Zhang, M. Sabuncu, "Generalized cross entropy loss for training deep neural networks
        with noisy labels", 2018.
    """
    y_pred = floating(y_pred)
    labels = lang.cast(to_tensor(y_true), "int32")
    if len(labels.shape) == len(y_pred.shape) and labels.shape[-1] == 1:
        labels = squeeze_last(labels)
    last = len(y_pred.shape) - 1
    classes = lang.iota((1,) * last + (y_pred.shape[last],), last, "int32")
    at_label = lang.eq(lang.reshape(labels, (*labels.shape, 1)), classes)
    p = lang.reduce_sum(lang.select(at_label, y_pred, 0.0), (last,))
    # The bound keeps the gradient finite where a label's probability is zero.
    p = lang.minimum(lang.maximum(p, config.epsilon()), 1.0 - config.epsilon())
    return lang.div(lang.sub(1.0, lang.pow_(p, float(q))), float(q))


class CategoricalGeneralizedCrossEntropy(NamedLoss):
    """`(1 - p**q) / q` of the probability p of each label: robust against wrong labels.

    Args:
        q: between 0 (like the cross entropy) and 1 (like the absolute error).
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Raises:
        ValueError: `q` is not between 0 and 1.

    Example:
        >>> CategoricalGeneralizedCrossEntropy(q=0.5)([1], [[0.75, 0.25]]).item()
        1.0

    Reference:
        Z. Zhang, M. Sabuncu, "Generalized cross entropy loss for training deep neural networks
        with noisy labels", 2018.
    """

    _shown = ("q",)
    _casts_targets = False

    def __init__(
        self,
        q: float = 0.5,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        if not 0 < q < 1:
            raise ValueError(
                "[CategoricalGeneralizedCrossEntropy] 'q' must be between 0 and 1. "
                f"Received: q={q}."
            )
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)
        self.q = q
