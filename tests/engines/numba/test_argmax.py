"""Compiled positions of extremes, against NumPy's."""

import numpy as np
import pytest

from tests.engines.numba import harness


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((7, 1), 1), ((9, 10), 1), ((9, 10), 0), ((5, 33), -1), ((3, 700), 1), ((4, 5, 6), 1),
     ((40,), 0)],
)  # fmt: skip
def test_first_of_equals(name, shape, axis, dtype):
    x = np.random.default_rng(0).integers(0, 4, shape).astype(dtype)
    harness.check(name, [x], {"axis": axis})


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("columns", [10, 50, 300])
def test_special_values(name, columns):
    x = np.zeros((8, columns), "float32")
    x[0, 3:] = np.nan
    x[1], x[2] = np.nan, np.inf
    x[3, 5], x[4, 5] = np.inf, -np.inf
    x[5], x[6, :7], x[7, -1] = -np.inf, -0.0, np.nan
    harness.check(name, [x], {"axis": 1})


def test_strided_inputs():
    x = np.random.default_rng(0).standard_normal((20, 6)).astype("float32").T
    harness.check("argmax", [x], {"axis": 1})
    harness.check("argmax", [x], {"axis": 0})


def test_dtypes_that_are_declined():
    out, x = np.empty(3, "int32"), np.zeros((3, 4), "int64")
    assert harness.prepared("argmax", [x], [out], {"axis": 1}) is None
