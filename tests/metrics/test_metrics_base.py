"""Metrics by themselves: errors, resets, stateless use, dtypes."""

import numpy as np
import pytest

from kbackend import metrics
from kbackend.ops.keras_tensor import KerasTensor, infer_spec

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
CLASSES = [
    name for name in metrics.__all__
    if isinstance(getattr(metrics, name), type)
    and name not in ("Metric", "MeanMetricWrapper", "Mean", "Sum")
]  # fmt: skip


def make(name):
    return getattr(metrics, name)(**NEEDED.get(name, {}))


def inputs(name, rng):
    y_pred = rng.uniform(0.1, 0.9, size=(6, 3)).astype("float32")
    if name.startswith("Sparse"):
        return rng.integers(0, 3, size=(6,)), y_pred
    if name in ("IoU", "MeanIoU"):
        return rng.integers(0, 3, size=(6,)), rng.integers(0, 3, size=(6,))
    return np.eye(3, dtype="float32")[rng.integers(0, 3, size=6)], y_pred


@pytest.mark.parametrize("name", CLASSES)
def test_stateless_updates_equal_the_others(name, rng):
    y_true, y_pred = inputs(name, rng)
    metric = make(name)
    first = metric(y_true, y_pred)
    metric.reset_state()
    assert all(not np.asarray(v).any() for v in metric.variables)
    state = metric.stateless_update_state([v.value for v in metric.variables], y_true, y_pred)
    assert all(not np.asarray(v).any() for v in metric.variables)
    np.testing.assert_array_equal(np.asarray(metric.stateless_result(state)), np.asarray(first))


@pytest.mark.parametrize("name", CLASSES)
def test_updates_need_no_values(name, rng):
    # On symbolic inputs a branch on a tensor's value would raise.
    y_true, y_pred = inputs(name, rng)
    metric = make(name)
    metric.update_state(y_true, y_pred)
    specs = [KerasTensor(x.shape, str(x.dtype)) for x in (y_true, y_pred)]

    def step(y_true, y_pred):
        state = metric.stateless_update_state([v.value for v in metric.variables], y_true, y_pred)
        return state, metric.stateless_result(state)

    state, result = infer_spec(step, *specs)
    assert [s.shape for s in state] == [v.shape for v in metric.variables]
    assert result.shape == tuple(np.asarray(metric.result()).shape)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision(dtype, rng):
    y_true, y_pred = inputs("MeanSquaredError", rng)
    metric = metrics.MeanSquaredError(dtype=dtype)
    expected = ((y_true - y_pred) ** 2).mean()
    # A few roundings to 8 bits of mantissa
    np.testing.assert_allclose(float(metric(y_true, y_pred)), expected, rtol=3e-2)
    assert {v.dtype for v in metric.variables} == {dtype}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metrics.Precision(thresholds=[-1.0]), "'thresholds' must be between"),
        (lambda: metrics.Recall(thresholds=[]), "'thresholds' must be between"),
        (lambda: metrics.AUC(curve="x"), "'curve' must be one of"),
        (lambda: metrics.AUC(summation_method="x"), "'summation_method' must be one of"),
        (lambda: metrics.AUC(num_thresholds=1), "'num_thresholds' must be"),
        (lambda: metrics.AUC(num_labels=2), "'num_labels' needs multi_label"),
        (lambda: metrics.PrecisionAtRecall(2.0), "'recall' must be between 0 and 1"),
        (lambda: metrics.RecallAtPrecision(0.5, num_thresholds=0), "'num_thresholds' must be"),
        (lambda: metrics.F1Score(average="x"), "'average' must be one of"),
        (lambda: metrics.FBetaScore(beta=-1.0), "'beta' must be a positive float"),
        (lambda: metrics.F1Score(threshold=0.0), "'threshold' must be a float"),
        (lambda: metrics.IoU(2, [2]), "'target_class_ids' must be"),
        (lambda: metrics.R2Score(class_aggregation="x"), "'class_aggregation' must be"),
        (lambda: metrics.R2Score(num_regressors=-1), "'num_regressors' must not"),
        (lambda: metrics.F1Score()([1, 0], [0.2, 0.3]), "same shape"),
        (lambda: metrics.R2Score()([1.0, 0.0], [0.2, 0.3]), "same shape"),
        (lambda: metrics.Precision(class_id=7)([[1, 0]], [[0.2, 0.3]]), "'class_id' must name"),
        (lambda: metrics.AUC()([[1, 0]], [0.2, 0.3]), "same shape"),
        (lambda: metrics.get("nope"), "no metric"),
    ],
)
def test_errors_name_the_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_counts_outside_of_the_classes_are_left_out():
    metric = metrics.MeanIoU(2)
    metric.update_state([0, 1, 5, -1], [0, 1, 1, 0])
    assert metric.total_cm.tolist() == [[1, 0], [0, 1]]


def test_many_predictions_take_little_memory():
    # 200 thresholds times these would be a gigabyte.
    n = 1_000_000
    y_pred = np.linspace(0, 1, n, dtype="float32")
    metric = metrics.AUC()
    metric.update_state(y_pred > 0.5, y_pred)
    assert metric.result().item() == pytest.approx(1.0, abs=1e-4)


def test_weights_that_the_counts_can_not_hold_are_warned_of():
    metric = metrics.MeanIoU(2)
    with pytest.warns(UserWarning, match="Pass dtype='float32'"):
        metric.update_state([0, 1], [0, 1], sample_weight=[0.5, 1.5])
