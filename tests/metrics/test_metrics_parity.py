"""Metrics against real Keras on JAX: states, results, weights, masks, configs, names."""

import inspect

import numpy as np
import pytest

from kbackend import metrics
from kbackend.core.convert import to_tensor
from kbackend.core.masks import set_keras_mask

keras = pytest.importorskip("keras")

NEEDED = {
    "IoU": {"num_classes": 3, "target_class_ids": [0, 2]},
    "MeanIoU": {"num_classes": 3},
    "OneHotIoU": {"num_classes": 3, "target_class_ids": [0, 2]},
    "OneHotMeanIoU": {"num_classes": 3},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.6},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
}
# float32 with sums of a few dozen terms; Keras adds 1e-7 to some denominators, and gets some counts
# as differences.
TOL = {"rtol": 2e-5, "atol": 1e-5}


def pair(name, /, **options):
    options = {**NEEDED.get(name, {}), **options}
    return getattr(metrics, name)(**options), getattr(keras.metrics, name)(**options)


def compare(ours, theirs):
    assert [tuple(v.shape) for v in ours.variables] == [tuple(v.shape) for v in theirs.variables]
    assert [v.name for v in ours.variables] == [v.name for v in theirs.variables]
    assert [v.dtype for v in ours.variables] == [v.dtype for v in theirs.variables]
    for a, b in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b.value), **TOL)
    a, b = np.asarray(ours.result()), np.asarray(theirs.result())
    assert a.shape == b.shape and a.dtype == b.dtype
    np.testing.assert_allclose(a, b, **TOL)


def check(name, batches, /, **options):
    ours, theirs = pair(name, **options)
    for y_true, y_pred, weight in batches:
        ours.update_state(y_true, y_pred, sample_weight=weight)
        theirs.update_state(y_true, y_pred, sample_weight=weight)
    compare(ours, theirs)


def binary(rng, shape=(6, 3)):
    y_true = (rng.uniform(size=shape) > 0.5).astype("float32")
    return y_true, rng.uniform(0.02, 0.98, size=shape).astype("float32")


WRAPPED = [
    *((name, {}) for name in (
        "MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError",
        "MeanSquaredLogarithmicError", "RootMeanSquaredError", "LogCoshError", "CosineSimilarity",
        "Hinge", "SquaredHinge", "CategoricalHinge", "KLDivergence", "Poisson",
        "BinaryCrossentropy", "CategoricalCrossentropy", "BinaryAccuracy", "CategoricalAccuracy",
        "Accuracy", "ConcordanceCorrelation",
    )),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}),
    ("BinaryAccuracy", {"threshold": 0.7}),
    ("TopKCategoricalAccuracy", {"k": 2}),
    ("CosineSimilarity", {"axis": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), WRAPPED)
def test_means_of_functions(name, options, rng):
    y_true, y_pred = binary(rng)
    weight = rng.uniform(size=(6,)).astype("float32")
    if options.get("axis") == 0:
        weight = None
    check(name, [(y_true, y_pred, None), (y_true[:4], y_pred[1:5], None)], **options)
    check(name, [(y_true, y_pred, weight), (1 - y_true, y_pred, None)], **options)


@pytest.mark.parametrize("name", ["MeanSquaredError", "SparseCategoricalAccuracy", "Precision"])
def test_masks(name, rng):
    scores = rng.uniform(size=(4, 5, 3)).astype("float32")
    labels = rng.integers(0, 3, size=(4, 5))
    y_true = labels if name.startswith("Sparse") else np.eye(3, dtype="float32")[labels]
    mask = rng.uniform(size=(4, 5)) > 0.4
    for weight in (None, rng.uniform(size=(4, 5)).astype("float32")):
        ours, theirs = pair(name)
        mine, other = to_tensor(scores), keras.ops.convert_to_tensor(scores)
        set_keras_mask(mine, to_tensor(mask))
        other._keras_mask = keras.ops.convert_to_tensor(mask)
        if name == "Precision" and weight is not None:
            weight = weight[..., None]
        ours.update_state(y_true, mine, weight)
        theirs.update_state(y_true, other, weight)
        compare(ours, theirs)


@pytest.mark.parametrize("name", ["Mean", "Sum"])
@pytest.mark.parametrize(
    ("shape", "weight"),
    [
        ((), None), ((), ()), ((4,), None), ((4,), ()), ((4,), (4,)), ((4,), (4, 1)),
        ((4, 3), None), ((4, 3), ()), ((4, 3), (4,)), ((4, 3), (4, 1)), ((4, 3), (4, 3)),
        ((4, 3, 2), (4,)), ((4, 3, 2), (4, 3)), ((4, 3, 2), None),
    ],
)  # fmt: skip
def test_reductions(name, shape, weight, rng):
    values = rng.normal(size=shape).astype("float32")
    weight = None if weight is None else rng.uniform(size=weight).astype("float32")
    ours, theirs = pair(name)
    for metric in (ours, theirs):
        metric.update_state(values, sample_weight=weight)
        metric.update_state(values * 2, sample_weight=weight)
    compare(ours, theirs)


@pytest.mark.parametrize("shape", [(6,), (6, 1), (2, 3), (2, 3, 1)])
@pytest.mark.parametrize("ties", [False, True])
def test_sparse_accuracies(shape, ties, rng):
    labels = rng.integers(0, 4, size=shape)
    outer = shape[:-1] if shape[-1] == 1 else shape
    scores = rng.uniform(size=(*outer, 4)).astype("float32")
    if ties:
        scores = np.round(scores)
    check("SparseCategoricalAccuracy", [(labels, scores, None)])
    check("SparseTopKCategoricalAccuracy", [(labels, scores, None)], k=2)
    check("SparseCategoricalCrossentropy", [(labels, scores + 0.1, None)])
    ranked = np.argsort(-scores, axis=-1)
    # Keras has no sorted classes for labels with a last dimension of size 1.
    if shape[-1] != 1:
        check("SparseTopKCategoricalAccuracy", [(labels, ranked, None)], k=2, from_sorted_ids=True)


CONFUSION = (
    "FalsePositives",
    "FalseNegatives",
    "TrueNegatives",
    "TruePositives",
    "Precision",
    "Recall",
)


@pytest.mark.parametrize("name", CONFUSION)
@pytest.mark.parametrize("thresholds", [None, 0.3, [0.3, 0.6], [0.6, 0.2, 0.4]])
def test_confusion_counts(name, thresholds, rng):
    y_true, y_pred = binary(rng)
    y_pred[0, 0] = 0.3  # a prediction at a threshold is not above it
    weight = np.array([1.0, 2.0, 0.0, 1.0, 0.5, 3.0], "float32")
    check(name, [(y_true, y_pred, None), (y_true, y_pred, weight)], thresholds=thresholds)
    check(name, [(y_true[:, 0], y_pred[:, :1], weight)], thresholds=thresholds)


@pytest.mark.parametrize("name", ["Precision", "Recall"])
@pytest.mark.parametrize(
    "options",
    [{"top_k": 2}, {"top_k": 1}, {"class_id": 1}, {"class_id": 1, "top_k": 2},
     {"top_k": 2, "thresholds": [0.35]}, {"class_id": 2, "thresholds": [0.1, 0.35]}],
)  # fmt: skip
def test_precision_and_recall_of_some(name, options, rng):
    y_true, y_pred = binary(rng)
    weight = rng.uniform(size=(6,)).astype("float32")
    check(name, [(y_true, y_pred, None)], **options)
    check(name, [(y_true, y_pred, weight)], **options)


@pytest.mark.parametrize("curve", ["ROC", "PR", "PRGAIN"])
@pytest.mark.parametrize("summation_method", ["interpolation", "minoring", "majoring"])
def test_auc(curve, summation_method, rng):
    y_true, y_pred = binary(rng, (20, 2))
    weight = rng.uniform(0.5, 1, size=(20,)).astype("float32")
    options = {"curve": curve, "summation_method": summation_method, "num_thresholds": 11}
    check(
        "AUC", [(y_true[:, 0], y_pred[:, 0], None), (y_true[:, 1], y_pred[:, 1], weight)], **options
    )
    check("AUC", [(y_true, y_pred, weight)], **options)
    check("AUC", [(y_true, y_pred, None)], multi_label=True, **options)
    check("AUC", [(y_true, y_pred, weight)], multi_label=True, label_weights=[0.8, 0.3], **options)
    check("AUC", [(y_true, y_pred, None)], label_weights=[0.8, 0.3], **options)


def test_auc_of_logits_and_thresholds(rng):
    y_true, y_pred = binary(rng, (20,))
    check("AUC", [(y_true, 4 * y_pred - 2, None)], from_logits=True)
    check("AUC", [(y_true, y_pred, None)], thresholds=[0.5, 0.2, 0.9])
    check("AUC", [(y_true, y_pred, None)], multi_label=False)
    for curve in ("ROC", "PR", "PRGAIN"):
        assert metrics.AUC(curve=curve).result().item() == 0.0


@pytest.mark.parametrize("name", [name for name in NEEDED if "At" in name])
@pytest.mark.parametrize("num_thresholds", [1, 5, 200])
def test_operating_points(name, num_thresholds, rng):
    y_true, y_pred = binary(rng, (20, 2))
    weight = rng.uniform(size=(20,)).astype("float32")
    check(name, [(y_true[:, 0], y_pred[:, 0], weight)], num_thresholds=num_thresholds)
    check(name, [(y_true, y_pred, None)], num_thresholds=num_thresholds, class_id=1)


@pytest.mark.parametrize("average", [None, "micro", "macro", "weighted"])
@pytest.mark.parametrize("threshold", [None, 0.5])
def test_f_scores(average, threshold, rng):
    y_true, y_pred = binary(rng)
    y_pred[1] = 0.0
    y_pred[2] = 0.7
    weight = np.array([1.0, 2.0, 0.0, 1.0, 0.5, 3.0], "float32")
    for batches in ([(y_true, y_pred, None)], [(y_true, y_pred, weight), (y_true, y_pred, None)]):
        check("F1Score", batches, average=average, threshold=threshold)
        check("FBetaScore", batches, average=average, threshold=threshold, beta=2.0)


# Keras asks JAX for int64 there.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")
@pytest.mark.parametrize("dtype", [None, "float32"])
@pytest.mark.parametrize("ignore_class", [None, 1, -1])
def test_intersection_over_union(dtype, ignore_class, rng):
    y_true, y_pred = rng.integers(0, 3, size=(2, 4, 5)).astype("int32")
    if ignore_class == -1:
        y_true[0] = -1
    weight = rng.integers(0, 3, size=(4, 5)).astype("int32")
    if dtype:
        weight = weight.astype(dtype) / 2
    options = {"dtype": dtype, "ignore_class": ignore_class}
    for name in ("IoU", "MeanIoU"):
        check(name, [(y_true, y_pred, None), (y_true, y_pred, weight)], **options)
    scores = rng.uniform(size=(4, 5, 3))
    check("MeanIoU", [(y_true, scores, weight)], sparse_y_pred=False, **options)
    if ignore_class != -1:
        hot = np.eye(3)[y_true]
        for name in ("OneHotIoU", "OneHotMeanIoU"):
            check(name, [(hot, scores, weight)], **options)
    y_true, y_pred = binary(rng)
    check("BinaryIoU", [(y_true, y_pred, None)], threshold=0.4, dtype=dtype)
    check("BinaryIoU", [(y_true, y_pred, None)], target_class_ids=[1], dtype=dtype)


@pytest.mark.parametrize("aggregation", [None, "uniform_average", "variance_weighted_average"])
@pytest.mark.parametrize("regressors", [0, 2])
def test_r2(aggregation, regressors, rng):
    y_true, y_pred = rng.normal(size=(2, 6, 3)).astype("float32")
    weight = rng.uniform(size=(6,)).astype("float32")
    options = {"class_aggregation": aggregation, "num_regressors": regressors}
    check("R2Score", [(y_true, y_pred, None), (y_true, 0.9 * y_true, weight)], **options)
    check("R2Score", [(y_true[:, 0], y_pred[:, :1], None)], **options)


@pytest.mark.parametrize("name", ["pearson_correlation", "concordance_correlation"])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_correlations(name, axis, rng):
    y_true, y_pred = rng.normal(size=(2, 6, 3)).astype("float32")
    ours = getattr(metrics, name)(y_true, y_pred, axis=axis)
    theirs = getattr(keras.metrics, name)(y_true, y_pred, axis=axis)
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=2e-5, atol=1e-6)
    check("PearsonCorrelation", [(y_true, y_pred, rng.uniform(size=(6,)).astype("float32"))])


# ----- names and configs -----

CLASSES = [
    name for name in dir(keras.metrics)
    if inspect.isclass(getattr(keras.metrics, name)) and name not in ("Metric", "MeanMetricWrapper")
]  # fmt: skip


def test_every_name_is_there():
    assert set(metrics.__all__) == {n for n in dir(keras.metrics) if not n.startswith("_")}


@pytest.mark.parametrize("name", CLASSES)
def test_configs_and_signatures_agree(name):
    ours, theirs = (
        inspect.signature(getattr(m, name)).parameters.values() for m in (metrics, keras.metrics)
    )
    for a, b in zip(ours, theirs, strict=True):
        assert (a.name, a.default) == (b.name, b.default)
    ours, theirs = pair(name, name="mine")
    assert ours.get_config() == theirs.get_config()
    assert metrics.serialize(ours) == keras.metrics.serialize(theirs)
    again = metrics.deserialize(keras.metrics.serialize(theirs))
    assert type(again) is type(ours) and again.get_config() == ours.get_config()
    ours, theirs = pair(name)
    assert ours.name.rsplit("_", 1)[0] in theirs.name


@pytest.mark.parametrize(
    "name",
    "mse MSE mae mape MAPE msle bce BCE accuracy auc AUC mean sum precision recall r2_score "
    "f1_score kl_divergence hinge poisson binary_accuracy sparse_categorical_accuracy "
    "sparse_categorical_crossentropy pearson_correlation cosine_similarity "
    "root_mean_squared_error top_k_categorical_accuracy Accuracy Recall".split(),
)
def test_names_give_the_metric_that_keras_gives(name):
    assert type(metrics.get(name)).__name__ == type(keras.metrics.get(name)).__name__


@pytest.mark.parametrize("delta", [{}, {"delta": 2.0}])
def test_wrapped_functions_are_serialized_as_keras_does(delta):
    ours = metrics.MeanMetricWrapper(metrics.huber, name="x", **delta)
    theirs = keras.metrics.MeanMetricWrapper(keras.metrics.huber, name="x", **delta)
    config = keras.metrics.serialize(theirs)
    assert metrics.serialize(ours) == config
    again = metrics.deserialize(config)
    assert again._fn is metrics.huber and again._fn_kwargs == delta
