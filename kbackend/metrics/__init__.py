"""Metrics: numbers accumulated over batches, for humans to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kbackend.base import serialization
from kbackend.base.naming import to_snake_case
from kbackend.losses.crossentropy import (
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)
from kbackend.losses.focal import (
    binary_focal_crossentropy,
    categorical_focal_crossentropy,
)
from kbackend.losses.margin import (
    categorical_hinge,
    hinge,
    squared_hinge,
)
from kbackend.losses.probabilistic import (
    kl_divergence,
    poisson,
)
from kbackend.losses.regression import (
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from kbackend.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from kbackend.metrics.auc import (
    AUC,
)
from kbackend.metrics.confusion import (
    FalseNegatives,
    FalsePositives,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from kbackend.metrics.correlation import (
    ConcordanceCorrelation,
    PearsonCorrelation,
    R2Score,
    concordance_correlation,
    pearson_correlation,
)
from kbackend.metrics.fscore import (
    F1Score,
    FBetaScore,
)
from kbackend.metrics.iou import (
    BinaryIoU,
    IoU,
    MeanIoU,
    OneHotIoU,
    OneHotMeanIoU,
)
from kbackend.metrics.margin import (
    CategoricalHinge,
    Hinge,
    SquaredHinge,
)
from kbackend.metrics.metric import (
    Metric,
)
from kbackend.metrics.operating_point import (
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from kbackend.metrics.probabilistic import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
)
from kbackend.metrics.reduction import (
    Mean,
    MeanMetricWrapper,
    Sum,
)
from kbackend.metrics.regression import (
    CosineSimilarity,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    RootMeanSquaredError,
)

__all__ = [
    "AUC", "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "BinaryIoU", "CategoricalAccuracy",
    "CategoricalCrossentropy", "CategoricalHinge", "ConcordanceCorrelation", "CosineSimilarity",
    "F1Score", "FBetaScore", "FalseNegatives", "FalsePositives", "Hinge", "IoU", "KLDivergence",
    "LogCoshError", "Mean", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanIoU",
    "MeanMetricWrapper", "MeanSquaredError", "MeanSquaredLogarithmicError", "Metric", "OneHotIoU",
    "OneHotMeanIoU", "PearsonCorrelation", "Poisson", "Precision", "PrecisionAtRecall", "R2Score",
    "Recall", "RecallAtPrecision", "RootMeanSquaredError", "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity", "SquaredHinge", "Sum", "TopKCategoricalAccuracy", "TrueNegatives",
    "TruePositives", "binary_accuracy", "binary_crossentropy", "binary_focal_crossentropy",
    "categorical_accuracy", "categorical_crossentropy", "categorical_focal_crossentropy",
    "categorical_hinge", "concordance_correlation", "deserialize", "get", "hinge", "huber",
    "kl_divergence", "log_cosh", "mean_absolute_error", "mean_absolute_percentage_error",
    "mean_squared_error", "mean_squared_logarithmic_error", "pearson_correlation", "poisson",
    "serialize", "sparse_categorical_accuracy", "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy", "squared_hinge", "top_k_categorical_accuracy",
]  # fmt: skip

_CLASSES: dict[str, Any] = {
    name: value for name, value in globals().items() if name in __all__ and isinstance(value, type)
}
# A name in snake case is the class's, whose function it may be as well.
_OBJECTS: dict[str, Any] = {
    **{to_snake_case(name): cls for name, cls in _CLASSES.items()},
    **_CLASSES,
    **{
        short: cls
        for name, cls in (
            ("bce", BinaryCrossentropy),
            ("mae", MeanAbsoluteError),
            ("mape", MeanAbsolutePercentageError),
            ("mse", MeanSquaredError),
            ("msle", MeanSquaredLogarithmicError),
        )
        for short in (name, name.upper())
    },
    "acc": Accuracy,
}


def serialize(metric: Any) -> Any:
    """The config of a metric: of a `Metric`, or of a function.

    Example:
        >>> serialize(MeanSquaredError())["class_name"]
        'MeanSquaredError'
    """
    return serialization.serialize(metric)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The metric that a config describes.

    Args:
        config: what `serialize` returned, or the name of a metric, which gives its class.
        custom_objects: name -> class or function of the user's.

    Raises:
        TypeError: the config names a metric that is not known.

    Example:
        >>> deserialize({"class_name": "Mean", "config": {"name": "loss"}}).name
        'loss'
    """
    return serialization.deserialize(config, custom_objects, _OBJECTS)


def get(identifier: Any) -> Any:
    """A metric given as an instance, a class, a name, a config or a function.

    Args:
        identifier: any of these, or `None`, which is returned as it is. Names are those of
            classes, also in snake case ("sparse_categorical_accuracy"), and short ones ("mse").

    Raises:
        ValueError: the identifier is none of these.

    Example:
        >>> get("mse").name
        'mean_squared_error'
    """
    return serialization.resolve("metric", identifier, _OBJECTS)
