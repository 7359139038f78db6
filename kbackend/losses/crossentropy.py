"""Cross entropies: of two classes, of probabilities, and of integer labels."""

from __future__ import annotations

import warnings
from typing import Any

from kbackend.base import shapes
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.masks import set_keras_mask
from kbackend.losses.alignment import mean_over
from kbackend.losses.wrapper import NamedLoss
from kbackend.ops.nn import loss as nn
from kbackend.ops.numpy.common import floating

# ----- two classes -----


def smooth_binary(y_true: Any, label_smoothing: float) -> Any:
    """Labels moved towards 1/2."""
    if not label_smoothing:
        return y_true
    return lang.add(lang.mul(y_true, 1.0 - label_smoothing), 0.5 * label_smoothing)


def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: Any = -1,
) -> Any:
    """Cross entropy of labels and predictions of two classes, averaged along `axis`.

    Args:
        y_true: labels between 0 and 1, `(batch, ..., n)`.
        y_pred: predictions of the same shape: probabilities, or logits.
        from_logits: whether `y_pred` holds logits.
        label_smoothing: how far labels are moved towards 1/2, from 0 to 1.
        axis: dimension (or tuple of them) to average along.

    Returns:
        The losses, without the dimension `axis`.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> binary_crossentropy([[1.0, 0.0]], [[0.5, 0.25]]).tolist()
        [0.490]
    """
    y_pred = floating(y_pred)
    y_true = smooth_binary(to_tensor(y_true, y_pred.dtype), label_smoothing)
    losses = nn.binary_crossentropy(y_true, y_pred, from_logits=from_logits)
    return mean_over(losses, shapes.canonical_axes(axis, len(losses.shape)))


class BinaryCrossentropy(NamedLoss):
    """Cross entropy of labels and predictions of two classes.

    Args:
        from_logits: whether predictions are logits.
        label_smoothing: how far labels are moved towards 1/2, from 0 to 1.
        axis: dimension to average along before the reduction.
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> BinaryCrossentropy(from_logits=True)([[1.0], [0.0]], [[0.0], [0.0]]).item()
        0.693
    """

    _shown = ("from_logits", "label_smoothing", "axis")

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: Any = -1,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            binary_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


# ----- a distribution per sample -----


def smooth_categorical(y_true: Any, label_smoothing: float, axis: Any) -> Any:
    """Distributions moved towards the uniform one."""
    if not label_smoothing:
        return y_true
    classes = shapes.size_of(
        [y_true.shape[a] for a in shapes.canonical_axes(axis, len(y_true.shape))]
    )
    if classes is None:
        raise ValueError("'label_smoothing' needs a known number of classes.")
    return lang.add(lang.mul(y_true, 1.0 - label_smoothing), label_smoothing / max(classes, 1))


def warn_of_one_class(y_pred: Any, axis: Any, owner: str) -> None:
    """Warns where the loss is zero whatever the model predicts."""
    if axis == -1 and y_pred.shape and y_pred.shape[-1] == 1:
        warnings.warn(
            f"[{owner}] the predictions have the shape {tuple(y_pred.shape)}, that is, one class. "
            "Did you mean binary_crossentropy, with a sigmoid?",
            SyntaxWarning,
            stacklevel=3,
        )


def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: Any = -1,
) -> Any:
    """Cross entropy of target and predicted distributions along `axis`.

    Args:
        y_true: probabilities, such as one-hot labels, `(batch, ..., classes)`.
        y_pred: predictions of the same shape: probabilities, or logits.
        from_logits: whether `y_pred` holds logits.
        label_smoothing: how far targets are moved towards the uniform distribution, from 0 to 1.
        axis: the dimension of the classes.

    Returns:
        The losses, without the dimension `axis`.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]]).tolist()
        [0.693]
    """
    y_pred = floating(y_pred)
    y_true = to_tensor(y_true, y_pred.dtype)
    warn_of_one_class(y_pred, axis, "categorical_crossentropy")
    y_true = smooth_categorical(y_true, label_smoothing, axis)
    return nn.categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)


class CategoricalCrossentropy(NamedLoss):
    """Cross entropy of target and predicted distributions.

    Args:
        from_logits: whether predictions are logits.
        label_smoothing: how far targets are moved towards the uniform distribution, from 0 to 1.
        axis: the dimension of the classes.
        reduction: as in `Loss`.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]).item()
        0.693
    """

    _shown = ("from_logits", "label_smoothing", "axis")

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: Any = -1,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


# ----- a label per sample -----


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Any:
    """Cross entropy of integer labels and predicted distributions along `axis`.

    Args:
        y_true: labels, shaped like `y_pred` without the dimension `axis` (or with size 1 last).
        y_pred: predictions, `(batch, ..., classes)`: probabilities, or logits.
        from_logits: whether `y_pred` holds logits.
        ignore_class: label of places that cost nothing; they don't count in a `Loss`'s mean.
        axis: the dimension of the classes.

    Returns:
        The losses, shaped like the labels.

    Raises:
        ValueError: the shapes do not fit.

    Example:
        >>> sparse_categorical_crossentropy([1, 0], [[0.5, 0.5], [0.75, 0.25]]).tolist()
        [0.693, 0.288]
    """
    if ignore_class is None:
        return nn.sparse_categorical_crossentropy(
            y_true, y_pred, from_logits=from_logits, axis=axis
        )
    labels, y_pred = lang.cast(to_tensor(y_true), "int32"), floating(y_pred)
    if len(labels.shape) == len(y_pred.shape) and labels.shape[-1] == 1:
        labels = lang.reshape(labels, tuple(labels.shape[:-1]))
    valid = lang.ne(labels, int(ignore_class))
    # -1 is no class: such places cost nothing.
    labels = lang.select(valid, labels, -1)
    losses = nn.sparse_categorical_crossentropy(labels, y_pred, from_logits=from_logits, axis=axis)
    set_keras_mask(losses, valid)
    return losses


class SparseCategoricalCrossentropy(NamedLoss):
    """Cross entropy of integer labels and predicted distributions.

    Args:
        from_logits: whether predictions are logits.
        ignore_class: label of places that don't count.
        reduction: as in `Loss`.
        axis: the dimension of the classes.
        name: name.
        dtype: dtype (or policy) of the computation.

    Example:
        >>> loss = SparseCategoricalCrossentropy(from_logits=True)
        >>> loss([1, 2], [[0.0, 0.0, 0.0], [0.0, 0.0, 100.0]]).item()
        0.549
    """

    _shown = ("from_logits", "ignore_class")
    _defaults = {"axis": -1}  # noqa: RUF012 - never mutated
    _casts_targets = False

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: Any = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            sparse_categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )
        self.from_logits = from_logits
        self.ignore_class = ignore_class
