"""Compiled random bits: the same as NumPy's, bit for bit."""

import numpy as np
import pytest

from kbackend_numba.kernels import random
from tests.engines.numba import harness

STATES = [(0, 0), (42, 7), (4294967295, 4294967295)]


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("pair", STATES)
@pytest.mark.parametrize(
    "shape", [(), (1,), (3,), (5,), (3, 7), (64, 64), (67,), (4096,), (3, 3001)]
)
def test_same_bits(shape, pair, width):
    state = np.array(pair, np.uint32)
    harness.check("random_bits", [state], {"shape": shape, "width": width})


def test_nothing():
    params = {"shape": (0, 3), "width": 32}
    harness.check("random_bits", [np.zeros(2, np.uint32)], params)


def test_without_wide_vectors(monkeypatch):
    """Products of whole words, as on CPUs with short vectors, give the same."""
    monkeypatch.setattr(random, "_lanes", lambda code: 0)
    state, out = np.array([42, 7], np.uint32), np.empty(1001, np.uint32)
    made = random.function(("random bits by words",), random._write)
    call = random.Call(made, (0, 1), (1001, 1001 // 8), 1)
    random.native([call]).run(out, state)
    wanted = harness.reference("random_bits", [state], {"shape": (1001,), "width": 32})
    np.testing.assert_array_equal(out, wanted[0])
