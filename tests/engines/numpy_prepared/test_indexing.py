"""Prepared gathering and scattering."""

import numpy as np
import pytest

from kbackend_numpy.kernels.indexing import KERNELS
from tests.engines.numpy_prepared.harness import allocated, check, prepared, spec

INDICES = ["int32", "int64", "uint8", "uint64"]


def _index(rng, size, shape, dtype):
    low = 0 if dtype.startswith("u") else -size
    return rng.integers(low, size, shape).astype(dtype)


@pytest.mark.parametrize("dtype", INDICES)
@pytest.mark.parametrize("shape", [(), (4,), (3, 5)])
def test_gather(shape, dtype, rng):
    x = rng.normal(size=(6, 7, 2)).astype("float32")
    x[0, 0, 0] = np.nan
    first, second = _index(rng, 6, shape, dtype), _index(rng, 7, shape, dtype)
    check(KERNELS["gather"], [x, first], {"axes": (0,)})
    check(KERNELS["gather"], [x, first, second], {"axes": (0, 1)})
    check(KERNELS["gather"], [x[:, 0, 0].copy(), first], {"axes": (0,)})


@pytest.mark.parametrize("mode", ["set", "add", "mul", "max", "min"])
@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize("shape", [(), (4,), (3, 5)])
def test_scatter(shape, dtype, mode, rng):
    x = (rng.normal(size=(6, 7, 2)) * 9).astype(dtype)
    first, second = _index(rng, 6, shape, "int32"), _index(rng, 7, shape, "int32")
    rows = (rng.normal(size=(*shape, 7, 2)) * 9).astype(dtype)
    check(KERNELS["scatter"], [x, rows, first], {"axes": (0,), "mode": mode})
    turned = np.ascontiguousarray(rows.T).T
    check(KERNELS["scatter"], [x, turned, first], {"axes": (0,), "mode": mode})
    cells = rows[..., 0, :].copy()
    check(KERNELS["scatter"], [x, cells, first, second], {"axes": (0, 1), "mode": mode})
    check(
        KERNELS["scatter"],
        [x[:, 0, 0].copy(), rows[..., 0, 0].copy(), first],
        {"axes": (0,), "mode": mode},
    )


@pytest.mark.parametrize("bad", [-4, 3])
def test_an_index_out_of_range_is_named(bad):
    x, index = np.zeros((3, 2), "float32"), np.array([0, 1], "int32")
    ready, outputs = prepared(KERNELS["gather"], [x, index], {"axes": (0,)})
    index[1] = bad
    out = np.empty((2, 2), "float32")
    scratch = [np.empty(s.shape, s.dtype) for s in ready.scratch]
    with pytest.raises(IndexError, match=f"Index {bad} is out of range for axis 0 with size 3"):
        ready.run(out, x, index, *scratch)


def test_what_is_not_prepared():
    x, index = spec(np.zeros((3, 4), np.float32)), spec(np.zeros(2, np.int32))
    assert KERNELS["gather"].prepare((x, index), (x,), axes=(1,)) is None
    strided = x._replace(strides=(1, 3))
    assert KERNELS["gather"].prepare((strided, index), (x,), axes=(0,)) is None


def test_nothing_is_allocated(rng):
    x, index = rng.normal(size=(1000, 64)).astype("float32"), rng.integers(0, 1000, 4096, "int32")
    updates = rng.normal(size=(4096, 64)).astype("float32")
    assert allocated(KERNELS["gather"], [x, index], {"axes": (0,)}) < 2048
    for mode in ("add", "set"):
        inputs, params = [x, updates, index], {"axes": (0,), "mode": mode}
        # NumPy's own buffers while it spreads indices over elements, two million bytes.
        assert allocated(KERNELS["scatter"], inputs, params) < 1 << 16
