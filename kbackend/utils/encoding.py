"""Labels as one-hot rows, and vectors of length one."""

from __future__ import annotations

from typing import Any

import numpy as np


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """One-hot rows of class indices.

    Args:
        x: class indices, an array of integers of any shape. A last axis of size 1 is dropped.
        num_classes: number of classes; by default the largest index plus one.

    Returns:
        Array of zeros and ones with a new last axis of size `num_classes`.

    Raises:
        IndexError: an index is negative or reaches `num_classes`.

    Example:
        >>> to_categorical([0, 2], num_classes=3)
        array([[1., 0., 0.],
               [0., 0., 1.]])
    """
    labels = np.asarray(x).astype("int64")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if not num_classes:
        num_classes = int(labels.max()) + 1 if labels.size else 0
    if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        raise IndexError(
            f"[to_categorical] class indices must lie between 0 and {num_classes - 1} "
            f"(num_classes={num_classes}). Received: values from {labels.min()} to {labels.max()}."
        )
    encoded = np.zeros((labels.size, num_classes))
    encoded[np.arange(labels.size), labels.ravel()] = 1.0
    return encoded.reshape(*labels.shape, num_classes)


def normalize(x: Any, axis: int = -1, order: float = 2) -> np.ndarray:
    """Vectors scaled to length one.

    Args:
        x: array.
        axis: the axis along which the vectors lie.
        order: of the norm: 1, 2, or another that `numpy.linalg.norm` knows for vectors.

    Returns:
        Array of the shape of `x`. Vectors of length zero stay zero.

    Example:
        >>> normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
        array([[0.6, 0.8],
               [0. , 0. ]])
    """
    array = np.atleast_1d(np.asarray(x))
    norms = np.linalg.norm(array, ord=order, axis=axis, keepdims=True)
    return array / np.where(norms == 0, 1, norms)
