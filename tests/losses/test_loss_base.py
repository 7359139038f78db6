"""The base class: structures, names, dtypes, errors, shapes without data."""

import numpy as np
import pytest

from kbackend import losses
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.keras_tensor import KerasTensor, infer_spec


class Gap(losses.Loss):
    def call(self, y_true, y_pred):
        return lang.abs_(lang.sub(y_true["a"], y_pred["a"]))


def test_a_loss_may_take_structures():
    loss = Gap(reduction="sum")
    assert loss.name == "gap"
    assert loss({"a": [1.0, 2.0]}, {"a": np.array([3.0, 5.0])}).item() == 5.0


def test_the_base_has_no_call():
    with pytest.raises(NotImplementedError, match=r"must implement call"):
        losses.Loss()([1.0], [1.0])


def test_unknown_reductions_are_refused():
    with pytest.raises(ValueError, match=r"\[mine\] 'reduction' must be one of"):
        losses.MeanSquaredError(reduction="avg", name="mine")


def test_the_floatx_at_the_time_of_making_decides():
    assert losses.MeanSquaredError().dtype == "float32"
    assert losses.MeanSquaredError(dtype="mixed_bfloat16").dtype == "bfloat16"
    assert losses.MeanSquaredError(dtype="float64")([1], [2]).dtype == "float64"


def test_empty_batches_cost_nothing():
    assert losses.MeanSquaredError()(np.zeros((0, 3, 3)), np.zeros((0, 3, 3))).item() == 0.0


def test_scalars_are_refused():
    with pytest.raises(ValueError, match="at least one dimension"):
        losses.mean_squared_error(1.0, 2.0)


def test_integer_labels_keep_their_value():
    # 2**24 + 1 is no float32.
    labels = np.array([2**24 + 1])
    seen = {}

    def spy(y_true, y_pred):
        seen["labels"] = y_true
        return lang.reduce_sum(y_pred, (1,))

    loss = losses.SparseCategoricalCrossentropy()
    loss.fn = lambda y_true, y_pred, **kwargs: spy(y_true, y_pred)
    loss(labels, np.ones((1, 2), "float32"))
    assert int(seen["labels"].tolist()[0]) == 2**24 + 1


@pytest.mark.parametrize(
    "loss",
    [
        losses.MeanSquaredError(), losses.BinaryCrossentropy(), losses.CategoricalCrossentropy(),
        losses.Hinge(), losses.KLDivergence(), losses.CategoricalFocalCrossentropy(),
        losses.Dice(), losses.CosineSimilarity(),
    ],
)  # fmt: skip
def test_shapes_without_data(loss):
    y_true, y_pred = KerasTensor((None, 3)), KerasTensor((None, 3))
    spec = infer_spec(loss, y_true, y_pred, KerasTensor((None,)))
    if not isinstance(loss, losses.Dice):
        assert spec.shape == () and spec.dtype == "float32"


def test_sparse_shapes_without_data():
    loss = losses.SparseCategoricalCrossentropy(reduction=None, ignore_class=-1)
    spec = infer_spec(loss, KerasTensor((None, 1), "int32"), KerasTensor((None, 3)))
    assert spec.shape == (None,)


def test_the_result_of_sparse_cross_entropy_carries_its_mask():
    y_pred = to_tensor([[0.5, 0.5]] * 2)
    found = losses.sparse_categorical_crossentropy([0, -1], y_pred, ignore_class=-1)
    assert found._keras_mask.tolist() == [True, False]
