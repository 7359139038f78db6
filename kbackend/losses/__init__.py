"""Losses: how far a model's predictions are from the targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kbackend.base import serialization
from kbackend.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)
from kbackend.losses.focal import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    binary_focal_crossentropy,
    categorical_focal_crossentropy,
)
from kbackend.losses.loss import (
    Loss,
)
from kbackend.losses.margin import (
    CategoricalHinge,
    Hinge,
    SquaredHinge,
    categorical_hinge,
    hinge,
    squared_hinge,
)
from kbackend.losses.overlap import (
    Dice,
    Tversky,
    dice,
    tversky,
)
from kbackend.losses.probabilistic import (
    CategoricalGeneralizedCrossEntropy,
    KLDivergence,
    Poisson,
    categorical_generalized_cross_entropy,
    kl_divergence,
    poisson,
)
from kbackend.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from kbackend.losses.sequence import CTC, ctc
from kbackend.losses.similarity import (
    Circle,
    circle,
)

__all__ = [
    "BinaryCrossentropy", "BinaryFocalCrossentropy", "CTC", "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy", "CategoricalGeneralizedCrossEntropy", "CategoricalHinge",
    "Circle", "CosineSimilarity", "Dice", "Hinge", "Huber", "KLDivergence", "LogCosh", "Loss",
    "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredError",
    "MeanSquaredLogarithmicError", "Poisson", "SparseCategoricalCrossentropy", "SquaredHinge",
    "Tversky", "binary_crossentropy", "binary_focal_crossentropy", "categorical_crossentropy",
    "categorical_focal_crossentropy", "categorical_generalized_cross_entropy", "categorical_hinge",
    "circle", "cosine_similarity", "ctc", "deserialize", "dice", "get", "hinge", "huber",
    "kl_divergence", "log_cosh", "mean_absolute_error", "mean_absolute_percentage_error",
    "mean_squared_error", "mean_squared_logarithmic_error", "poisson", "serialize",
    "sparse_categorical_crossentropy", "squared_hinge", "tversky",
]  # fmt: skip

_ALIASES: dict[str, Any] = {
    short: function
    for name, function in (
        ("bce", binary_crossentropy),
        ("kld", kl_divergence),
        ("mae", mean_absolute_error),
        ("mape", mean_absolute_percentage_error),
        ("mse", mean_squared_error),
        ("msle", mean_squared_logarithmic_error),
    )
    for short in (name, name.upper())
}
_OBJECTS: dict[str, Any] = {
    **{
        name: value
        for name, value in globals().items()
        if name in __all__ and getattr(value, "__module__", "").startswith("kbackend.")
    },
    **_ALIASES,
}


def serialize(loss: Any) -> Any:
    """The config of a loss: of a `Loss`, or of a function.

    Example:
        >>> serialize(MeanSquaredError())["class_name"]
        'MeanSquaredError'
    """
    return serialization.serialize(loss)


def deserialize(name: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The loss that a config (or a name) describes.

    Args:
        name: what `serialize` returned, or the name of a loss.
        custom_objects: name -> class or function of the user's.

    Raises:
        TypeError: the config names a loss that is not known.

    Example:
        >>> deserialize("mean_squared_error") is mean_squared_error
        True
    """
    return serialization.deserialize(name, custom_objects, _OBJECTS)


def get(identifier: Any) -> Any:
    """A loss given as a function, an instance, a class, a name or a config.

    Args:
        identifier: any of these, or `None`, which is returned as it is. Names in snake case, and
            the short ones ("mse", "kld"), stand for functions; those of classes for instances.

    Raises:
        ValueError: the identifier is none of these.

    Example:
        >>> get("mse") is mean_squared_error
        True
    """
    return serialization.resolve("loss", identifier, _OBJECTS)
