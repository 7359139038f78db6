"""Losses of overlap between regions, for segmentation: Dice and Tversky."""

from __future__ import annotations

from typing import Any

from kbackend.base import config, shapes
from kbackend.core import lang
from kbackend.losses.alignment import paired
from kbackend.losses.wrapper import NamedLoss


def _quotient(x: Any, y: Any) -> Any:
    """x / y, and 0 where y is 0."""
    none = lang.eq(y, 0)
    return lang.select(none, 0.0, lang.div(x, lang.select(none, 1.0, y)))


def _summed_axes(axis: Any, x: Any) -> tuple[int, ...]:
    return shapes.canonical_axes(tuple(axis) if isinstance(axis, list) else axis, len(x.shape))


def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Any:
    """One less the Dice coefficient, `2 * overlap / (size of both)`.

    Args:
        y_true: regions, with 1 inside and 0 outside.
        y_pred: predicted regions of the same shape.
        axis: dimensions of a region; `None` means all, the batch included.

    Returns:
        The losses from 0 to 1, without the dimensions `axis`.

    Example:
        >>> dice([[1.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]]).item()
        0.333

    Reference:
        F. Milletari et al., "V-Net: fully convolutional neural networks for volumetric medical
        image segmentation", 2016.
    """
    y_true, y_pred = paired(y_true, y_pred)
    product = lang.mul(y_true, y_pred)
    axes = _summed_axes(axis, product)
    overlap = lang.reduce_sum(product, axes)
    sizes = lang.add(lang.reduce_sum(y_true, axes), lang.reduce_sum(y_pred, axes))
    return lang.sub(1.0, _quotient(lang.mul(overlap, 2.0), lang.add(sizes, config.epsilon())))


class Dice(NamedLoss):
    """One less the Dice coefficient, `2 * overlap / (size of both)`.

    Args:
        reduction: as in `Loss`.
        name: name.
        axis: dimensions of a region; `None` means all, the batch included.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> Dice()([[1.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]]).item()
        0.333

    Reference:
        F. Milletari et al., "V-Net: fully convolutional neural networks for volumetric medical
        image segmentation", 2016.
    """

    _shown = ("axis",)

    def __init__(
        self,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "dice",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(dice, reduction, name, dtype, axis=axis)
        self.axis = axis


def tversky(
    y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None
) -> Any:
    """One less the Tversky index, the Dice coefficient with weights for both kinds of error.

    Args:
        y_true: regions, with 1 inside and 0 outside.
        y_pred: predicted regions of the same shape.
        alpha: weight of what is missed inside of the region.
        beta: weight of what is predicted outside of it.
        axis: dimensions of a region; `None` means all, the batch included.

    Returns:
        The losses from 0 to 1, without the dimensions `axis`.

    Example:
        >>> tversky([[1.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]]).item()
        0.333

    Reference:
        S. Salehi et al., "Tversky loss function for image segmentation using 3D fully
        convolutional deep networks", 2017.
    """
    y_true, y_pred = paired(y_true, y_pred)
    product = lang.mul(y_true, y_pred)
    axes = _summed_axes(axis, product)
    overlap = lang.reduce_sum(product, axes)
    extra = lang.reduce_sum(lang.mul(lang.sub(1.0, y_true), y_pred), axes)
    missed = lang.reduce_sum(lang.mul(y_true, lang.sub(1.0, y_pred)), axes)
    weighted = lang.add(lang.mul(missed, float(alpha)), lang.mul(extra, float(beta)))
    size = lang.add(lang.add(overlap, weighted), config.epsilon())
    return lang.sub(1.0, _quotient(overlap, size))


class Tversky(NamedLoss):
    """One less the Tversky index, the Dice coefficient with weights for both kinds of error.

    Args:
        alpha: weight of what is missed inside of the region.
        beta: weight of what is predicted outside of it.
        reduction: as in `Loss`.
        name: name.
        axis: dimensions of a region; `None` means all, the batch included.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> Tversky()([[1.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]]).item()
        0.333

    Reference:
        S. Salehi et al., "Tversky loss function for image segmentation using 3D fully
        convolutional deep networks", 2017.
    """

    _shown = ("alpha", "beta", "axis")

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "tversky",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)
        self.alpha = alpha
        self.beta = beta
        self.axis = axis
