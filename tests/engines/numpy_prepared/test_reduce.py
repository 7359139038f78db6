"""Prepared reductions."""

import numpy as np
import pytest

from kbackend_numpy import threads
from kbackend_numpy.kernels.reduce import KERNELS
from tests.engines.numpy_prepared.harness import allocated, check, spec

SHAPES_AXES = [
    ((7,), (0,)),
    ((), ()),
    ((5, 6), ()),
    ((5, 6), (0,)),
    ((5, 6), (1,)),
    ((5, 6), (0, 1)),
    ((5, 1, 6), (1,)),
    ((9001, 3), (0,)),
    ((3, 9001), (1,)),
    ((4, 5, 6), (1,)),
    ((4, 5, 6), (0, 2)),
    ((4, 5, 6), (1, 2)),
    ((2, 5000, 3), (1,)),
    ((2, 3, 4, 5), (1, 3)),
    ((2, 3, 4, 5), (0, 2)),
    ((400, 33), (1,)),
    ((40, 300), (1,)),
    ((0, 3), (0,)),
    ((3, 0), (0,)),
]
# Sums add in another order: a few roundings of the sum of the absolute values.
SUMS = {"float32": 3e-5, "float64": 1e-13}


def _layouts(x):
    """x as it is, and with other strides where there are any."""
    yield x
    yield np.ascontiguousarray(x.T).T
    if x.ndim:
        yield np.repeat(x, 2, axis=0)[::2]
        yield np.ascontiguousarray(x[::-1])[::-1]
    if x.ndim == 4:
        yield np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
@pytest.mark.parametrize(("shape", "axes"), SHAPES_AXES)
def test_reductions(shape, axes, dtype, keepdims, rng):
    params = {"axes": axes, "keepdims": keepdims}
    for x in _layouts(np.asarray(rng.normal(size=shape) * 3, dtype)):
        tolerance = SUMS.get(dtype, 0.0) * np.sqrt(x.size)
        check(KERNELS["reduce_sum"], [x], params, rtol=tolerance, atol=tolerance)
        check(KERNELS["reduce_prod"], [x], params)
        if x.size:
            check(KERNELS["reduce_max"], [x], params)
            check(KERNELS["reduce_min"], [x], params)


@pytest.mark.parametrize("name", ["reduce_sum", "reduce_max", "reduce_min"])
@pytest.mark.parametrize(("shape", "axes"), SHAPES_AXES[3:15])
def test_nan_and_infinity(name, shape, axes, rng):
    x = rng.normal(size=shape).astype(np.float32)
    flat = x.reshape(-1)
    flat[0], flat[len(flat) // 2], flat[-1] = np.inf, np.nan, -np.inf
    tolerance = SUMS["float32"] * np.sqrt(x.size)
    check(KERNELS[name], [x], {"axes": axes, "keepdims": False}, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(100000, 32), (100000, 4, 8), (3, 1100000), (100, 1100, 32)])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1), (0, 2)])
def test_on_threads(shape, axes, rng):
    if max(axes) >= len(shape):
        pytest.skip("too few dimensions")
    x = rng.random(size=shape, dtype=np.float32)
    with threads.owned():
        # All are positive: relative errors of sums of parts, twenty roundings.
        check(KERNELS["reduce_sum"], [x], {"axes": axes, "keepdims": False}, rtol=2e-5)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
@pytest.mark.parametrize(("shape", "axis"), [((9,), 0), ((7, 9), 1), ((7, 9), 0), ((3, 5, 4), 1)])
def test_positions(name, shape, axis, dtype, rng):
    for x in _layouts(np.asarray(rng.normal(size=shape), dtype)):
        check(KERNELS[name], [x], {"axis": axis})
        if dtype == "float32":
            x = x.copy()
            x[2:4] = np.nan
            check(KERNELS[name], [x], {"axis": axis})


@pytest.mark.parametrize("name", ["reduce_sum", "reduce_prod", "reduce_max", "reduce_min"])
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 2), (0, 1), (1, 2), (0, 1, 2)])
def test_nothing_is_allocated(name, axes, rng):
    x = rng.normal(size=(60, 70, 32)).astype(np.float32)
    assert allocated(KERNELS[name], [x], {"axes": axes, "keepdims": False}) < 2048


@pytest.mark.parametrize("axis", [0, 1])
def test_positions_allocate_nothing(axis, rng):
    x = rng.normal(size=(600, 700)).astype(np.float32)
    assert allocated(KERNELS["argmax"], [x], {"axis": axis}) < 2048


def test_low_precision_is_left_to_the_plain_kernel():
    x = spec(np.zeros((3, 4), np.float16))
    prepare = KERNELS["reduce_sum"].prepare
    assert prepare((x,), (x,), axes=(0,), keepdims=False) is None
