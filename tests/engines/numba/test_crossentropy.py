"""Compiled cross entropies against NumPy's."""

import numpy as np
import pytest

from tests.engines.numba import harness

CLIP = {"epsilon": 1e-7}
DENSE = ["softmax_cross_entropy", "probability_cross_entropy"]
SPARSE = ["sparse_softmax_cross_entropy", "sparse_probability_cross_entropy"]
PAIRS = ["sigmoid_cross_entropy", "binary_probability_cross_entropy"]

CLASSES = [
    ((7, 10), (1,)), ((7, 16), (1,)), ((7, 100), (1,)), ((3, 300), (1,)), ((7, 1), (1,)),
    ((3, 4, 5), (2,)), ((3, 4, 5), (1, 2)), ((3, 4, 5), (0,)), ((3, 4, 50), (0, 2)), ((5,), (0,)),
]  # fmt: skip
ROWS = [(7, 10), (7, 100), (3, 300), (7, 1), (1, 17)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def outputs(rng, name, shape, dtype="float32"):
    if "probability" in name:
        made = rng.uniform(0.01, 1.0, size=shape)
        made.reshape(-1)[::7] = 0.0  # clipped
        return made.astype(dtype)
    return (3 * rng.standard_normal(shape)).astype(dtype)


def params_of(name, **more):
    return {**more, **(CLIP if "probability" in name else {})}


def check(name, inputs, params):
    """Functions within two units, and sums of up to 300 numbers below 10. Quotients by clipped
    probabilities make gradients as large as 1e7."""
    unit = np.finfo(inputs[-1].dtype).eps
    harness.check(name, inputs, params, rtol=100 * unit, atol=100 * unit)


def dense(rng, name, shape, axes, dtype="float32"):
    kept = tuple(1 if i in axes else d for i, d in enumerate(shape))
    g = rng.standard_normal(kept).astype(dtype)
    target = rng.uniform(size=shape)
    target = (target / target.sum(axes, keepdims=True)).astype(dtype)
    return g, target, outputs(rng, name, shape, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "axes"), CLASSES)
@pytest.mark.parametrize("name", DENSE)
def test_dense(name, shape, axes, dtype, rng):
    g, target, output = dense(rng, name, shape, axes, dtype)
    params = params_of(name, axes=axes)
    check(name, (target, output), params)
    check(f"{name}_grad", (g, target, output), params)


@pytest.mark.parametrize("labels_of", ["int32", "int64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", ROWS)
@pytest.mark.parametrize("name", SPARSE)
def test_sparse(name, shape, dtype, labels_of, rng):
    labels = rng.integers(0, shape[1], shape[0]).astype(labels_of)
    if len(labels) > 2:
        labels[:2] = -1, shape[1] + 3  # of no class
    g = rng.standard_normal(shape[0]).astype(dtype)
    output = outputs(rng, name, shape, dtype)
    check(name, (labels, output), params_of(name))
    check(f"{name}_grad", (g, labels, output), params_of(name))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (1,), (7, 10), (3, 700)])
@pytest.mark.parametrize("name", PAIRS)
def test_pairs(name, shape, dtype, rng):
    g, target = (rng.uniform(size=shape).astype(dtype) for _ in range(2))
    output = np.asarray(outputs(rng, name, shape, dtype))
    g, target = np.asarray(g), np.asarray(target)
    check(name, (target, output), params_of(name))
    check(f"{name}_grad", (g, target, output), params_of(name))


@pytest.mark.parametrize("name", [*DENSE, *SPARSE])
def test_strided_inputs(name, rng):
    output = np.asfortranarray(outputs(rng, name, (7, 20)))
    if name in DENSE:
        g, target, _ = dense(rng, name, (7, 20), (1,))
        given, params = (np.asfortranarray(target), output), params_of(name, axes=(1,))
    else:
        g = np.broadcast_to(np.float32(0.25), (7,))
        given, params = (np.arange(14, dtype="int32")[::2], output), params_of(name)
    check(name, given, params)
    check(f"{name}_grad", (g, *given), params)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("classes", [10, 300])
@pytest.mark.parametrize("name", [*DENSE, *SPARSE])
def test_special_values(name, classes, value, rng):
    shape = (3, classes)
    g, target, output = dense(rng, name, shape, (1,))
    output[0, 1], output[1], output[2, -1] = value, value, value
    if name in SPARSE:
        g, target = g[:, 0], np.array([1, 0, 5], "int32")
    params = params_of(name, **({"axes": (1,)} if name in DENSE else {}))
    check(name, (target, output), params)
    check(f"{name}_grad", (g, target, output), params)


def test_labels_that_are_declined(rng):
    labels, output = np.zeros(3, "uint8"), outputs(rng, "logits", (3, 4))
    out = np.empty(3, "float32")
    assert harness.prepared("sparse_softmax_cross_entropy", (labels, output), (out,), {}) is None
