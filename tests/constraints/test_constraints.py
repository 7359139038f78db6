"""Constraints against real Keras."""

import numpy as np
import pytest

from kbackend import constraints
from kbackend.core.convert import to_tensor
from kbackend.ops.keras_tensor import KerasTensor
from kbackend.state.variable import Variable

keras = pytest.importorskip("keras")

CASES = [
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 3, "axis": 1}),
    ("MaxNorm", {"max_value": 3, "axis": (0, 1)}),
    ("NonNeg", {}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": [0, 1]}),
    ("MinMaxNorm", {}),
    ("MinMaxNorm", {"min_value": 2, "max_value": 3, "rate": 0.5, "axis": 1}),
    ("Constraint", {}),
]


def test_the_names_are_those_of_keras():
    public = {n for n in dir(keras.constraints) if not n.startswith("_")}
    assert public == set(constraints.__all__)
    for name in public - {"get", "serialize", "deserialize"}:
        assert getattr(constraints, name).__name__ == getattr(keras.constraints, name).__name__


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_values_and_configs(name, arguments):
    ours = getattr(constraints, name)(**arguments)
    theirs = getattr(keras.constraints, name)(**arguments)
    w = np.linspace(-3, 5, 12, dtype="float32").reshape(3, 4)
    w[:, 2] = 0
    np.testing.assert_allclose(np.asarray(ours(w)), np.asarray(theirs(w)), rtol=1e-6)
    stored = constraints.serialize(ours)
    assert stored == keras.constraints.serialize(theirs)
    again = constraints.deserialize(stored)
    assert type(again) is type(ours) and again.get_config() == ours.get_config()


@pytest.mark.parametrize("name", ["MaxNorm", "NonNeg", "UnitNorm", "MinMaxNorm"])
def test_inputs(name):
    constraint = getattr(constraints, name)()
    assert constraint(to_tensor(np.ones((2, 3)), "bfloat16")).dtype == "bfloat16"
    assert constraint(Variable(np.ones((2, 3), "float32"))).shape == (2, 3)
    assert constraint(KerasTensor((None, 3))).shape == (None, 3)


def test_get():
    assert constraints.get(None) is None
    assert type(constraints.get("max_norm")) is constraints.MaxNorm
    assert type(constraints.get("NonNeg")) is constraints.NonNeg
    assert type(constraints.get(constraints.UnitNorm)) is constraints.UnitNorm
    assert constraints.get(np.abs) is np.abs
    assert constraints.get({"class_name": "MaxNorm", "config": {"max_value": 5}}).max_value == 5
    for wrong in ("nope", 1):
        with pytest.raises(ValueError, match="no constraint"):
            constraints.get(wrong)
