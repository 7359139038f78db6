"""Focal cross entropies: easy samples count less."""

from __future__ import annotations

from typing import Any

from kbackend.base import config, shapes
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.losses.alignment import mean_over
from kbackend.losses.crossentropy import smooth_binary, smooth_categorical, warn_of_one_class
from kbackend.losses.wrapper import NamedLoss
from kbackend.ops.nn import loss as nn
from kbackend.ops.nn.normalized_exp import softmax_c
from kbackend.ops.numpy.common import floating


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: Any = -1,
) -> Any:
    """Cross entropy of two classes times `(1 - p)**gamma`, p the probability of the right one.

    Args:
        y_true: labels between 0 and 1, `(batch, ..., n)`.
        y_pred: predictions of the same shape: probabilities, or logits.
        apply_class_balancing: whether class 1 is weighted by `alpha`, class 0 by `1 - alpha`.
        alpha: weight of class 1.
        gamma: how much easy samples are discounted; 0 gives the cross entropy.
        from_logits: whether `y_pred` holds logits.
        label_smoothing: how far labels are moved towards 1/2, from 0 to 1.
        axis: dimension (or tuple of them) to average along.

    Returns:
        The losses, without the dimension `axis`.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> binary_focal_crossentropy([[1.0]], [[0.5]]).tolist()
        [0.173]

    Reference:
        T. Lin et al., "Focal loss for dense object detection", 2017.
    """
    y_pred = floating(y_pred)
    y_true = smooth_binary(to_tensor(y_true, y_pred.dtype), label_smoothing)
    if from_logits:
        y_pred = lang.sigmoid(y_pred)
    losses = nn.binary_crossentropy(y_true, y_pred)
    right = lang.mul(y_true, y_pred)
    wrong = lang.mul(lang.sub(1.0, y_true), lang.sub(1.0, y_pred))
    losses = lang.mul(lang.pow_(lang.sub(1.0, lang.add(right, wrong)), float(gamma)), losses)
    if apply_class_balancing:
        ones = lang.mul(y_true, float(alpha))
        zeros = lang.mul(lang.sub(1.0, y_true), 1.0 - alpha)
        losses = lang.mul(lang.add(ones, zeros), losses)
    return mean_over(losses, shapes.canonical_axes(axis, len(losses.shape)))


class BinaryFocalCrossentropy(NamedLoss):
    """Cross entropy of two classes times `(1 - p)**gamma`, p the probability of the right one.

    Args:
        apply_class_balancing: whether class 1 is weighted by `alpha`, class 0 by `1 - alpha`.
        alpha: weight of class 1.
        gamma: how much easy samples are discounted; 0 gives the cross entropy.
        from_logits: whether predictions are logits.
        label_smoothing: how far labels are moved towards 1/2, from 0 to 1.
        axis: dimension to average along before the reduction.
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> BinaryFocalCrossentropy()([[1.0]], [[0.5]]).item()
        0.173

    Reference:
        T. Lin et al., "Focal loss for dense object detection", 2017.
    """

    _shown = (
        "apply_class_balancing", "alpha", "gamma", "from_logits", "label_smoothing", "axis",
    )  # fmt: skip

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: Any = -1,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            binary_focal_crossentropy,
            reduction,
            name,
            dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )
        self.apply_class_balancing = apply_class_balancing
        self.alpha = alpha
        self.gamma = gamma
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: Any = -1,
) -> Any:
    """Cross entropy along `axis`, each class's part times `alpha * (1 - p)**gamma`.

    Args:
        y_true: probabilities, such as one-hot labels, `(batch, ..., classes)`.
        y_pred: predictions of the same shape: probabilities, or logits.
        alpha: weight, or a list of one per class.
        gamma: how much easy samples are discounted.
        from_logits: whether `y_pred` holds logits.
        label_smoothing: how far targets are moved towards the uniform distribution, from 0 to 1.
        axis: the dimension of the classes.

    Returns:
        The losses, without the dimension `axis`.

    Example:
        >>> categorical_focal_crossentropy([[0.0, 1.0]], [[0.5, 0.5]]).tolist()
        [0.0433]

    Reference:
        T. Lin et al., "Focal loss for dense object detection", 2017.
    """
    y_pred = floating(y_pred)
    y_true = to_tensor(y_true, y_pred.dtype)
    warn_of_one_class(y_pred, axis, "categorical_focal_crossentropy")
    y_true = smooth_categorical(y_true, label_smoothing, axis)
    axes = shapes.canonical_axes(axis, len(y_pred.shape))
    if from_logits:
        y_pred = softmax_c(y_pred, axes=axes)
    p = lang.div(y_pred, lang.reduce_sum(y_pred, axes, True))
    p = lang.minimum(lang.maximum(p, config.epsilon()), 1.0 - config.epsilon())
    losses = lang.neg(lang.mul(y_true, lang.log(p)))
    factor = lang.mul(lang.pow_(lang.sub(1.0, p), float(gamma)), to_tensor(alpha, p.dtype))
    return lang.reduce_sum(lang.mul(factor, losses), axes)


class CategoricalFocalCrossentropy(NamedLoss):
    """Cross entropy, each class's part times `alpha * (1 - p)**gamma`.

    Args:
        alpha: weight, or a list of one per class.
        gamma: how much easy samples are discounted.
        from_logits: whether predictions are logits.
        label_smoothing: how far targets are moved towards the uniform distribution, from 0 to 1.
        axis: the dimension of the classes.
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> CategoricalFocalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]).item()
        0.0433

    Reference:
        T. Lin et al., "Focal loss for dense object detection", 2017.
    """

    _shown = ("alpha", "gamma", "from_logits", "label_smoothing", "axis")

    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: Any = -1,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            categorical_focal_crossentropy,
            reduction,
            name,
            dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )
        self.alpha = alpha
        self.gamma = gamma
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis
