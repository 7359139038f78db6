"""Compiled softmax, its logarithm and their gradients, against NumPy's."""

import numpy as np
import pytest

from tests.engines.numba import harness

SHAPES = [
    ((1, 1), (1,)),
    ((5, 3), (1,)),
    ((9, 10), (1,)),
    ((7, 16), (1,)),
    ((4, 33), (1,)),
    ((2, 3, 64), (2,)),
    ((3, 131), (1,)),
    ((3, 1000), (1,)),
    ((4, 5, 6), (1, 2)),
    ((4, 5, 6), (0,)),
    ((4, 50, 6), (1,)),
    ((1, 20, 1), (1,)),
]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def problems(rng, shape, axes, dtype="float32"):
    """Names, inputs and parameters."""
    x, g = ((3 * rng.standard_normal(shape)).astype(dtype) for _ in range(2))
    for name in ("softmax", "log_softmax"):
        yield name, (x,), {"axes": axes}
        (result,) = harness.reference(name, (x,), {"axes": axes})
        yield f"{name}_grad", (g, result), {"axes": axes}


def check(name, inputs, params):
    """Exponentials within two units, and sums of up to 1,000 numbers below 10."""
    unit = np.finfo(inputs[0].dtype).eps
    harness.check(name, inputs, params, rtol=30 * unit, atol=100 * unit)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "axes"), SHAPES)
def test_values(shape, axes, dtype, rng):
    for problem in problems(rng, shape, axes, dtype):
        check(*problem)


@pytest.mark.parametrize(("shape", "axes"), [SHAPES[2], SHAPES[7], SHAPES[9]])
def test_strided_inputs(shape, axes, rng):
    for name, inputs, params in problems(rng, shape, axes):
        check(name, [np.asfortranarray(a) for a in inputs], params)


@pytest.mark.parametrize("classes", [10, 200])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30, 100.0])
def test_special_values(classes, value):
    x = np.linspace(-2, 2, 3 * classes, dtype="float32").reshape(3, classes)
    x[0, 1], x[1], x[2, -1] = value, value, value
    check("softmax", (x,), {"axes": (1,)})
    check("log_softmax", (x,), {"axes": (1,)})


def test_probabilities_add_up(rng):
    x = rng.standard_normal((4, 50), "float32") * 50
    out = np.empty_like(x)
    harness.prepared("softmax", [x], [out], {"axes": (1,)}).run(out, x)
    np.testing.assert_allclose(out.sum(1), 1, rtol=1e-6)
    exact = np.exp(x.astype("float64") - x.max(1, keepdims=True))
    # Differences of numbers around 100 are exact to 4e-6, and so are their exponentials.
    np.testing.assert_allclose(out, exact / exact.sum(1, keepdims=True), rtol=1e-5, atol=1e-37)
