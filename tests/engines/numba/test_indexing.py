"""Compiled gathering and scattering: what NumPy's kernels give."""

import numpy as np
import pytest

import kbackend
from kbackend import layers, ops
from tests.engines.numba import harness


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "bool", "float16"])
@pytest.mark.parametrize("shape", [(), (4,), (3, 5)])
def test_gather(shape, dtype, index, rng):
    x = (9 * rng.normal(size=(6, 7, 33))).astype(dtype)
    first, second = (rng.integers(-n, n, shape).astype(index) for n in (6, 7))
    first, second = np.asarray(first), np.asarray(second)
    harness.check("gather", [x, first], {"axes": (0,)})
    harness.check("gather", [x, first, second], {"axes": (0, 1)})
    harness.check("gather", [x[:, 0, 0].copy(), first], {"axes": (0,)})


@pytest.mark.parametrize("mode", ["set", "add", "mul", "max", "min"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("width", [1, 2, 16, 33, 300])
def test_scatter(width, dtype, mode, rng):
    x = (rng.normal(size=(6, 7, width)) * 9).astype(dtype)
    first, second = (rng.integers(-n, n, (3, 5)).astype("int32") for n in (6, 7))
    rows = (rng.normal(size=(3, 5, 7, width)) * 9).astype(dtype)
    harness.check("scatter", [x, rows, first], {"axes": (0,), "mode": mode})
    cells = rows[..., 0, :].copy()
    harness.check("scatter", [x, cells, first, second], {"axes": (0, 1), "mode": mode})
    vector = [x[:, 0, 0].copy(), rows[..., 0, 0].copy(), first]
    harness.check("scatter", vector, {"axes": (0,), "mode": mode})


def test_strided_inputs(rng):
    x, rows = rng.normal(size=(20, 6)).T, rng.normal(size=(20, 3)).T
    index = np.array([4, 1, 0, 0, 4, 2])[::2]
    harness.check("gather", [x, index], {"axes": (0,)})
    harness.check("scatter", [x, rows, index], {"axes": (0,), "mode": "add"})


def test_bits_are_kept():
    x = np.array([[np.nan, -0.0], [np.inf, 1e-45]], "float32")
    harness.check("gather", [x, np.array([1, 0, 1])], {"axes": (0,)})


@pytest.mark.parametrize("bad", [-4, 3])
@pytest.mark.parametrize("name", ["gather", "scatter"])
def test_an_index_out_of_range_is_named(name, bad):
    x, index = np.zeros((3, 2), "float32"), np.array([0, bad, 1], "int32")
    out = np.empty((3, 2), "float32")
    inputs = [x, index] if name == "gather" else [x, np.ones((3, 2), "float32"), index]
    params = {"axes": (0,)} | ({"mode": "add"} if name == "scatter" else {})
    ready = harness.prepared(name, inputs, [out], params)
    scratch = [*map(harness.garbage, ready.scratch)]
    with pytest.raises(IndexError, match=f"Index {bad} is out of range for axis 0 with size 3"):
        ready.run(out, *inputs, *scratch)
    # What was noted is forgotten.
    index[1] = -3
    ready.run(out, *inputs, *scratch)


def test_what_is_declined():
    x, out = np.zeros((3, 4), "float32"), np.zeros((3, 2), "float32")
    assert harness.prepared("gather", [x, np.array([1, 2])], [out], {"axes": (1,)}) is None
    index = np.array([1, 2], "uint8")
    assert harness.prepared("gather", [x, index], [out], {"axes": (0,)}) is None


def test_an_error_comes_before_what_follows_in_a_program():
    with kbackend.use_backend("numba"):
        table = layers.Embedding(5, 3)
        table.build((None, 2))
        counter = kbackend.Variable(0.0)

        @kbackend.jit
        def step(indices):
            total = ops.sum(table(indices))
            counter.assign(counter + total)
            return total

        step(ops.convert_to_tensor([[1, 2]]))
        before = float(counter)
        with pytest.raises(IndexError, match="Index 7 is out of range"):
            step(ops.convert_to_tensor([[1, 7]]))
        assert float(counter) == before
