"""Cross entropies and the peak signal-to-noise ratio as ops."""

from __future__ import annotations

import math
from typing import Any

from kbackend.base import config, shapes
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.operators import promote, subtract
from kbackend.ops.define import op
from kbackend.ops.nn.arguments import axes_of, floating, mean_of
from kbackend.ops.nn.crossentropy import (
    binary_probability_cross_entropy,
    probability_cross_entropy,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    sparse_probability_cross_entropy,
    sparse_softmax_cross_entropy,
)


def _check_same_shape(target: Any, output: Any, name: str) -> None:
    a, b = tuple(target.shape), tuple(output.shape)
    fits = len(a) == len(b) and all(
        m is None or n is None or m == n for m, n in zip(a, b, strict=True)
    )
    if not fits:
        raise ValueError(
            f"[{name}] 'target' and 'output' must have the same shape. "
            f"Received: target.shape={a}, output.shape={b}."
        )


@op(tensors=("output",))
def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """Cross entropy of labels and predictions of two classes, element by element.

    Args:
        target: tensor of labels between 0 and 1.
        output: predictions, of the same shape: probabilities, or logits.
        from_logits: whether `output` holds logits.

    Returns:
        A floating tensor of the same shape.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> binary_crossentropy([1.0, 0.0], [0.5, 0.25]).tolist()
        [0.693, 0.288]
    """
    target, output = promote(target, output, force_float=True)
    _check_same_shape(target, output, "binary_crossentropy")
    if from_logits:
        return sigmoid_cross_entropy(target, output)
    return binary_probability_cross_entropy(target, output, epsilon=config.epsilon())


@op(tensors=("output",))
def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """Cross entropy of target and predicted distributions along `axis`.

    Args:
        target: tensor of probabilities, such as one-hot labels.
        output: predictions, of the same shape: probabilities, or logits.
        from_logits: whether `output` holds logits.
        axis: the dimension of the classes.

    Returns:
        A floating tensor without the dimension `axis`.

    Raises:
        ValueError: the shapes differ, or there is no dimension.

    Example:
        >>> categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]]).tolist()
        [0.693]
    """
    target, output = promote(target, output, force_float=True)
    _check_same_shape(target, output, "categorical_crossentropy")
    if not target.shape:
        raise ValueError(
            "[categorical_crossentropy] 'target' must have a dimension of classes. "
            "Received: target.shape=()."
        )
    axes = axes_of(axis, output)
    if from_logits:
        kept = softmax_cross_entropy(target, output, axes=axes)
    else:
        kept = probability_cross_entropy(target, output, axes=axes, epsilon=config.epsilon())
    return lang.reshape(kept, shapes.reduced(tuple(kept.shape), axes, False))


@op(tensors=("output",))
def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """Cross entropy of integer labels and predicted distributions along `axis`.

    Args:
        target: tensor of labels, shaped like `output` without the dimension `axis` (or with size 1
            in its last one). Labels that name no class cost nothing.
        output: predictions: probabilities, or logits.
        from_logits: whether `output` holds logits.
        axis: the dimension of the classes.

    Returns:
        A floating tensor of the shape of the labels.

    Raises:
        ValueError: the shapes do not fit.

    Example:
        >>> sparse_categorical_crossentropy([1], [[0.5, 0.5]]).tolist()
        [0.693]
    """
    labels, output = lang.cast(to_tensor(target), "int32"), floating(output)
    if not output.shape:
        raise ValueError(
            "[sparse_categorical_crossentropy] 'output' must have a dimension of classes. "
            "Received: output.shape=()."
        )
    if len(labels.shape) == len(output.shape) and labels.shape[-1] == 1:
        labels = lang.reshape(labels, tuple(labels.shape[:-1]))
    ndim = len(output.shape)
    at = shapes.canonical_axis(axis, ndim)
    outer = tuple(d for i, d in enumerate(output.shape) if i != at)
    fits = len(outer) == len(labels.shape) and all(
        m is None or n is None or m == n for m, n in zip(outer, labels.shape, strict=True)
    )
    if not fits:
        raise ValueError(
            "[sparse_categorical_crossentropy] 'target' must be shaped like 'output' without the "
            f"dimension {axis}. Received: target.shape={tuple(labels.shape)}, "
            f"output.shape={tuple(output.shape)}."
        )
    classes = output.shape[at]
    if at != ndim - 1:
        output = lang.transpose(output, (*(i for i in range(ndim) if i != at), at))
    rows = lang.reshape(output, (shapes.size_of(outer), classes)) if ndim != 2 else output
    flat = lang.reshape(labels, (shapes.size_of(outer),)) if ndim != 2 else labels
    if from_logits:
        losses = sparse_softmax_cross_entropy(flat, rows)
    else:
        losses = sparse_probability_cross_entropy(flat, rows, epsilon=config.epsilon())
    return losses if ndim == 2 else lang.reshape(losses, tuple(labels.shape))


@op(tensors=("x2",), static=("max_val",))
def psnr(x1: Any, x2: Any, max_val: float) -> Any:
    """Peak signal-to-noise ratio of two images in decibel.

    Args:
        x1: numeric tensor.
        x2: numeric tensor of the same shape.
        max_val: the greatest value that a pixel can have.

    Returns:
        A scalar tensor.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> psnr([0.0, 0.0], [0.1, 0.1], max_val=1.0).item()
        20.0
    """
    x1, x2 = to_tensor(x1), to_tensor(x2)
    _check_same_shape(x1, x2, "psnr")
    difference = floating(subtract(x1, x2))
    square = lang.mul(difference, difference)
    mean = lang.reshape(mean_of(square, tuple(range(len(square.shape)))), ())
    level = lang.mul(lang.log(mean), -10 / math.log(10))
    return lang.add(level, 20 * math.log10(max_val))
