"""Weights by class, turned into weights by sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kbackend.base import config, dtypes


def check_class_weight(class_weight: Any) -> dict[int, float]:
    """The mapping with integer classes and float weights.

    Raises:
        ValueError: it is no mapping of integers to numbers.
    """
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            "[fit] 'class_weight' must be a dict from class index to weight. "
            f"Received: {class_weight!r} of type {type(class_weight).__name__}."
        )
    try:
        return {int(label): float(weight) for label, weight in class_weight.items()}
    except (TypeError, ValueError) as error:
        raise ValueError(
            "[fit] 'class_weight' must map class indices (integers) to numbers; names of classes "
            f"or of outputs are not understood. Received: {dict(class_weight)!r}."
        ) from error


def class_weight_to_sample_weight(y: Any, class_weight: Mapping[int, float]) -> np.ndarray:
    """One weight for each row of `y`.

    Args:
        y: class indices of shape `(rows,)` or `(rows, 1)`, or one-hot rows `(rows, ..., classes)`,
            whose largest entry tells the class.
        class_weight: weight by class index. A class that it does not name weighs 1.

    Returns:
        Array of weights in the configured float type, of the shape of the class indices.

    Raises:
        ValueError: `y` has several outputs.

    Example:
        >>> class_weight_to_sample_weight(np.array([0, 2, 1]), {0: 0.5, 2: 4.0})
        array([0.5, 4. , 1. ], dtype=float32)
    """
    if isinstance(y, (dict, list, tuple)):
        raise ValueError(
            "[fit] 'class_weight' is only supported for models with a single output; give a "
            f"'sample_weight' for each output. Received: targets with {len(y)} entries."
        )
    if y is None:
        raise ValueError("[fit] 'class_weight' needs targets, and the data has none.")
    labels = np.asarray(y)
    if labels.ndim > 1:
        labels = labels[..., 0] if labels.shape[-1] == 1 else labels.argmax(axis=-1)
    labels = np.rint(labels).astype("int64") if labels.dtype.kind == "f" else labels
    weights = np.ones(labels.shape, dtype=dtypes.numpy_dtype(config.floatx()))
    for label, weight in class_weight.items():
        weights[labels == label] = weight
    return weights
