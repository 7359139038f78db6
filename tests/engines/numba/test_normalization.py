"""Compiled normalisations against NumPy's."""

import numpy as np
import pytest

from kbackend.engine.program import Node, Region, Spec
from kbackend_numba import table
from kbackend_numpy.kernels.normalization import COMPOSITES
from tests.engines.numba import harness

# shape, axes, shape of the parameters: by rows that are short or long, by columns, of several
# matrices
LAYOUTS = [
    ((6, 1), (1,), (1, 1)),
    ((9, 5), (1,), (1, 5)),
    ((33, 64), (1,), (1, 64)),
    ((3, 5, 7), (1, 2), (1, 5, 7)),
    ((700, 33), (1,), (1, 33)),
    ((5, 531), (1,), (1, 531)),
    ((3, 1024), (-1,), (1, 1024)),
    ((2, 40), (0, 1), (2, 40)),
    ((8, 5), (0,), (1, 5)),
    ((16, 6, 6, 3), (0, 1, 2), (1, 1, 1, 3)),
    ((16, 16, 16, 40), (0, 1, 2), (1, 1, 1, 40)),
    ((7, 11, 64), (0, 1), (1, 1, 64)),
    ((9, 640), (0,), (1, 640)),
    ((18, 2100), (0,), (1, 2100)),
    ((3, 50, 17), (1,), (1, 1, 17)),
    ((2, 30, 30, 32), (1, 2), (1, 1, 1, 32)),
]
# Groups of columns that share their statistics.
JOINT = [
    ((4, 6, 5, 3), (0, 2, 3), (1, 6, 1, 1)),
    ((4, 3, 30, 20), (0, 2, 3), (1, 3, 1, 1)),
    ((3, 6, 6, 4, 5), (1, 2, 4), (1, 1, 1, 4, 5)),
    ((2, 9, 9, 8, 16), (1, 2, 4), (1, 1, 1, 8, 16)),
    ((2, 7, 2, 300), (1, 3), (1, 1, 2, 300)),
]
AFFINE = [(True, True), (True, False), (False, True), (False, False)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def draw(rng, shape, dtype="float32"):
    return (rng.normal(size=shape) + 0.5).astype(dtype)


def check(name, arrays, params):
    """Sums of up to 4,096 numbers around 1 in another order: errors of some units of their size."""
    unit = np.finfo(arrays[0].dtype).eps
    size = max(1.0, np.sqrt(arrays[0].size))
    harness.check(name, arrays, params, rtol=100 * unit, atol=10 * unit * size)


def standardize(rng, shape, axes, row, scaled, centred, dtype="float32"):
    """Arguments and parameters of the kernel and of its gradient."""
    axes = tuple(axis % len(shape) for axis in axes)
    x, affine = draw(rng, shape, dtype), [draw(rng, row, dtype) for _ in range(scaled + centred)]
    params = {"axes": axes, "epsilon": 1e-3, "scaled": scaled, "centred": centred}
    y, mean, variance = COMPOSITES["standardize"].fn(x, *affine, **params)
    over = tuple(i for i, d in enumerate(row) if d == 1 and shape[i] != 1)
    g = [draw(rng, a.shape, dtype) for a in (y, mean, variance)]
    grad_params = {
        "axes": axes, "epsilon": 1e-3, "needs_x": True,
        "scale_over": over if scaled else None, "offset_over": over if centred else None,
    }  # fmt: skip
    return [x, *affine], params, [*g, x, mean, variance, *affine[: int(scaled)]], grad_params


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("scaled", "centred"), AFFINE)
@pytest.mark.parametrize(("shape", "axes", "row"), LAYOUTS + JOINT)
def test_standardize(shape, axes, row, scaled, centred, dtype, rng):
    forward, params, backward, grad_params = standardize(
        rng, shape, axes, row, scaled, centred, dtype
    )
    check("standardize", forward, params)
    check("standardize_grad", backward, grad_params)
    if scaled or centred:
        check("standardize_grad", backward, {**grad_params, "needs_x": False})


@pytest.mark.parametrize(("shape", "axes", "row"), [*LAYOUTS[8:14], *JOINT[:2]])
def test_batch_normalization(shape, axes, row, rng):
    mean, variance = draw(rng, row), np.abs(draw(rng, row))
    for scaled, centred in AFFINE:
        affine = [draw(rng, row) for _ in range(scaled + centred)]
        params = {"epsilon": 1e-3, "scaled": scaled, "centred": centred}
        check("batch_normalization", [draw(rng, shape), mean, variance, *affine], params)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("shape", "axes", "row"), LAYOUTS[:8])
def test_rms(shape, axes, row, scaled, rng):
    axes = tuple(axis % len(shape) for axis in axes)
    x, scale = draw(rng, shape), [draw(rng, row)] * scaled
    params = {"axes": axes, "epsilon": 1e-3}
    check("rms_normalization", [x, *scale], params)
    y, inverse = COMPOSITES["rms_normalization"].fn(x, *scale, **params)
    arrays = [draw(rng, y.shape), draw(rng, inverse.shape), x, inverse, *scale]
    over = tuple(i for i, d in enumerate(row) if d == 1 and shape[i] != 1) if scaled else None
    for needs_x in (True, False) if scaled else (True,):
        params = {"axes": axes, "needs_x": needs_x, "scale_over": over}
        check("rms_normalization_grad", arrays, params)


def test_a_large_mean_costs_no_digits(rng):
    x = (rng.normal(size=(4000, 20)) + 5000).astype("float32")
    params = {"axes": (0,), "epsilon": 1e-3, "scaled": False, "centred": False}
    ready = harness.prepared(
        "standardize", [x], harness.reference("standardize", [x], params), params
    )
    y, mean, variance = (np.empty(s, "float32") for s in ((4000, 20), (1, 20), (1, 20)))
    ready.run(y, mean, variance, x, *map(harness.garbage, ready.scratch))
    exact = x.astype("float64")
    # The mean is within two units of 5,000; so is what it makes of the variance.
    np.testing.assert_allclose(mean[0], exact.mean(0), rtol=2.4e-7)
    np.testing.assert_allclose(variance[0], exact.var(0), rtol=1e-5)


@pytest.mark.parametrize(("shape", "axes", "row"), [LAYOUTS[2], LAYOUTS[10]])
def test_strided_inputs(shape, axes, row, rng):
    forward, params, backward, grad_params = standardize(rng, shape, axes, row, True, True)
    for place in (0, 3):
        backward[place] = np.ascontiguousarray(backward[place].T).T
    backward[1] = np.broadcast_to(np.float32(0.5), backward[1].shape)
    forward[0] = np.repeat(forward[0], 2, axis=0)[::2]
    check("standardize", forward, params)
    check("standardize_grad", backward, grad_params)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 70, -1])
@pytest.mark.parametrize(("shape", "axes", "row"), [LAYOUTS[2], LAYOUTS[5], LAYOUTS[10]])
def test_nan_and_infinity_stay_visible(shape, axes, row, place, value, rng):
    forward, params, backward, grad_params = standardize(rng, shape, axes, row, True, True)
    forward[0].reshape(-1)[place] = backward[0].reshape(-1)[place] = value
    for name, arrays, own in (
        ("standardize", forward, params),
        ("standardize_grad", backward, grad_params),
    ):
        wanted = harness.reference(name, arrays, own)
        for made in harness.outcomes(name, arrays, own, wanted):
            for found, want in zip(made, wanted, strict=True):
                np.testing.assert_array_equal(np.isfinite(found), np.isfinite(want))


def test_layouts_that_are_declined(rng):
    for shape, axes, row in [((4, 6, 5, 3), (0, 2), (1, 6, 1, 3)), ((4, 6), (1,), (4, 1))]:
        forward, params, _, _ = standardize(rng, shape, axes, row, True, True)
        outputs = harness.reference("standardize", forward, params)
        assert harness.prepared("standardize", forward, outputs, params) is None


# ----- endings -----


def residual(shape):
    """tanh(y + x) * row"""
    whole, row = Spec(shape, "float32"), Spec(shape[-1:], "float32")
    names = [("add", (1, 0)), ("tanh", (3,)), ("mul", (4, 2))]
    nodes = tuple(Node(name, places, {}, whole) for name, places in names)
    return Region((whole, whole, row), nodes, (5,), shape)


@pytest.mark.parametrize("name", ["standardize", "batch_normalization"])
@pytest.mark.parametrize(("shape", "axes", "row"), LAYOUTS[8:13])
def test_an_ending(shape, axes, row, name, rng):
    x, last = draw(rng, shape), draw(rng, shape[-1:])
    affine = [draw(rng, row) for _ in range(2)]
    params = {"epsilon": 1e-3, "scaled": True, "centred": True}
    if name == "standardize":
        given, params["axes"] = [x, *affine], axes
    else:
        given = [x, draw(rng, row), np.abs(draw(rng, row)), *affine]
    y, *rest = harness.reference(name, given, params)
    wanted = [np.tanh(y + x) * last, *rest]
    inputs = [*given, x, last]
    ready = table.prepare(
        "epilogue", tuple(map(harness.spec, inputs)), tuple(map(harness.spec, wanted)),
        {"op": name, "params": params, "region": residual(shape), "place": 1},
    )  # fmt: skip
    made, pieces = ([np.full_like(a, np.nan) for a in wanted] for _ in range(2))
    ready.run(*made, *inputs, *map(harness.garbage, ready.scratch))
    harness.item_by_item(ready, [*pieces, *inputs, *map(harness.garbage, ready.scratch)])
    for found, piece, want in zip(made, pieces, wanted, strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(piece, found)
    assert (0, 0) in ready.overwrites and (len(given), 0) in ready.overwrites
