"""Regularizers against real Keras."""

import math

import numpy as np
import pytest

from kbackend import regularizers
from kbackend.autodiff import GradientTape
from kbackend.core.convert import to_tensor
from kbackend.ops.keras_tensor import KerasTensor
from kbackend.state.variable import Variable

keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")

CASES = [
    ("L1", {}),
    ("L1", {"l1": 0.5}),
    ("L1", {"l1": None}),
    ("L2", {}),
    ("L2", {"l2": 0.5}),
    ("L1L2", {}),
    ("L1L2", {"l1": 0.25, "l2": 0.5}),
    ("L1L2", {"l1": None, "l2": None}),
    ("OrthogonalRegularizer", {}),
    ("OrthogonalRegularizer", {"factor": 0.5, "mode": "rows"}),
]
SQUARE = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0], [2.0, 1.5, -0.75]], "float32")


def test_the_names_are_those_of_keras():
    public = {n for n in dir(keras.regularizers) if not n.startswith("_")}
    assert public == set(regularizers.__all__)
    for name in public - {"get", "serialize", "deserialize"}:
        assert getattr(regularizers, name).__name__ == getattr(keras.regularizers, name).__name__


def rounded(stored):
    """The config as float32, in which Keras stores some factors."""
    values = {k: np.float32(v) if isinstance(v, float) else v for k, v in stored["config"].items()}
    return {**stored, "config": values}


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_values_gradients_and_configs(name, arguments):
    ours = getattr(regularizers, name)(**arguments)
    theirs = getattr(keras.regularizers, name)(**arguments)
    x = to_tensor(SQUARE)
    with GradientTape() as tape:
        tape.watch(x)
        penalty = ours(x)
    assert penalty.shape == ()
    assert float(penalty) == pytest.approx(float(theirs(SQUARE)), rel=1e-5)
    gradient = tape.gradient(penalty, x)
    if gradient is not None:
        expected = jax.grad(lambda v: keras.ops.convert_to_tensor(theirs(v)))(SQUARE)
        np.testing.assert_allclose(np.asarray(gradient), expected, rtol=1e-4, atol=1e-6)
    stored, expected = regularizers.serialize(ours), keras.regularizers.serialize(theirs)
    assert rounded(stored) == rounded(expected)
    again = regularizers.deserialize(regularizers.serialize(ours))
    assert type(again) is type(ours) and again.get_config() == ours.get_config()


def test_columns_are_the_rows_of_the_transpose():
    x = SQUARE[:2]
    penalty = regularizers.OrthogonalRegularizer(0.5, "columns")(x)
    expected = keras.regularizers.OrthogonalRegularizer(0.5, "rows")(x.T)
    assert float(penalty) == pytest.approx(float(expected), rel=1e-5)


def test_orthogonal_penalty_of_a_wide_matrix():
    # two columns at 60 degrees, and one orthogonal to both
    x = np.array([[1.0, 0.5, 0.0], [0.0, math.sqrt(0.75), 0.0], [0.0, 0.0, 2.0], [0, 0, 0]])
    penalty = regularizers.OrthogonalRegularizer(1.0, "columns")(x)
    assert float(penalty) == pytest.approx(0.5 / 3)
    assert float(regularizers.OrthogonalRegularizer(1.0)(np.ones((1, 4)))) == 0.0


def test_inputs():
    for name in ("L1", "L2", "L1L2"):
        regularizer = getattr(regularizers, name)()
        assert regularizer(KerasTensor((None, 3))).shape == ()
        assert regularizer(Variable([1.0])).shape == ()
        assert regularizer(to_tensor([1.0], "bfloat16")).dtype == "bfloat16"


def test_get():
    assert regularizers.get(None) is None
    assert type(regularizers.get("l2")) is regularizers.L2
    assert type(regularizers.get("L1L2")) is regularizers.L1L2
    assert type(regularizers.get("l1_l2")) is regularizers.L1L2
    assert type(regularizers.get("l1l2")) is regularizers.L1L2
    assert type(regularizers.get(regularizers.L1)) is regularizers.L1
    assert regularizers.get(np.sum) is np.sum
    assert regularizers.get({"class_name": "L2", "config": {"l2": 3.0}}).l2 == 3.0
    for wrong in ("nope", 0.5):
        with pytest.raises(ValueError, match="no regularizer"):
            regularizers.get(wrong)


@pytest.mark.parametrize("factor", [-1, "a", math.nan, math.inf, True])
def test_wrong_factors(factor):
    for make in (regularizers.L1, regularizers.L2, regularizers.OrthogonalRegularizer):
        with pytest.raises(ValueError, match="must be a number that is not negative"):
            make(factor)


def test_other_errors():
    with pytest.raises(ValueError, match="'rows' or 'columns'"):
        regularizers.OrthogonalRegularizer(mode="x")
    with pytest.raises(ValueError, match="must be a matrix"):
        regularizers.OrthogonalRegularizer()(np.ones(3))
    with pytest.raises(NotImplementedError, match="must implement"):
        regularizers.Regularizer().get_config()
