"""Compiled updates of optimizers against NumPy's."""

import numpy as np
import pytest

from kbackend.engine.program import Spec
from kbackend_numba.table import prepare
from tests.engines.numba.harness import check

BETAS = {"beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-5}
RMS = {"rho": 0.8, "momentum": 0.7, "epsilon": 1e-5}
# name, number of arrays, whether iterations are an argument, parameters
RULES = [
    ("weight_decay", 1, False, {"rate": 0.3}),
    ("sgd_update", 2, False, {}),
    ("momentum_update", 3, False, {"momentum": 0.9, "nesterov": False}),
    ("momentum_update", 3, False, {"momentum": 0.9, "nesterov": True}),
    ("adam_update", 4, True, BETAS),
    ("amsgrad_update", 5, True, BETAS),
    ("rmsprop_update", 3, False, RMS),
    ("rmsprop_update", 4, False, RMS),
    ("rmsprop_centered_update", 4, False, RMS),
    ("rmsprop_centered_update", 5, False, RMS),
]
SHAPES = [(), (0,), (3,), (17, 33), (5000,)]
# Roundings are NumPy's, but for those of the corrections, and of products added in one step.
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}


def arguments(rng, count, shape, dtype, counted, iterations=4):
    values = [np.asarray(np.abs(rng.normal(size=shape)) + 0.1, dtype) for _ in range(count)]
    counter = [np.array(iterations, "int32")] if counted else []
    return [*values, np.array(0.05, dtype), *counter]


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "count", "counted", "params"), RULES)
def test_equals_numpys(name, count, counted, params, shape, dtype, rng):
    tolerance = TOLERANCE[dtype]
    check(name, arguments(rng, count, shape, dtype, counted), params, tolerance, tolerance)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0])
@pytest.mark.parametrize(("name", "count", "counted", "params"), RULES)
def test_special_values(name, count, counted, params, value, rng):
    arrays = arguments(rng, count, (40,), "float32", counted)
    for place, array in enumerate(arrays[:count]):
        array[place :: 2 * count] = value
    check(name, arrays, params, 2e-6, 2e-6)


@pytest.mark.parametrize("iterations", [0, 1, 9, 1000, 123456, 2**31 - 1])
def test_corrections_at_any_step(iterations, rng):
    params = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    arrays = arguments(rng, 4, (20,), "float32", True, iterations)
    # 1 - beta ** step is small in the first steps: a rounding of the power weighs 1000 times.
    check("adam_update", arrays, params, 1e-4, 1e-6)


def test_gradients_in_any_memory_order(rng):
    value, gradient = rng.normal(size=(40, 30)), rng.normal(size=(30, 40)).T
    check("sgd_update", [value, gradient, np.array(0.5)], {}, 1e-13, 1e-13)
    shown = np.broadcast_to(rng.normal(size=(30,)), (40, 30))
    check("sgd_update", [value, shown, np.array(0.5)], {}, 1e-13, 1e-13)


def test_other_dtypes_are_left_to_numpy():
    half, rate = Spec((4,), "float16"), Spec((), "float16")
    assert prepare("sgd_update", (half, half, rate), (half,), {}) is None
    assert prepare("sgd_update", (half, half, Spec((), "float32")), (half,), {}) is None
