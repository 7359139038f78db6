"""Prepared kernels of the optimizers' rules."""

import numpy as np
import pytest

from kbackend_numpy import threads
from kbackend_numpy.kernels.optimizer import COMPOSITES
from tests.engines.numpy_prepared.harness import allocated, check, spec

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
# Zero-dimensional, empty, one block, several blocks, and enough for two threads.
SHAPES = [(), (0, 3), (3, 4), (150, 301), (1050000,)]


def _inputs(rng, count, shape, counted, dtype="float32"):
    arrays = [np.asarray(np.abs(rng.normal(size=shape)) + 0.1, dtype) for _ in range(count)]
    return [*arrays, np.array(0.05, dtype), *([np.array(4, np.int32)] if counted else [])]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "count", "counted", "params"), RULES)
def test_same_bits(name, count, counted, params, shape, dtype, rng):
    if dtype == "float64" and len(shape) == 1:
        pytest.skip("as float32")
    inputs = _inputs(rng, count, shape, counted, dtype)
    if len(shape) == 2 and inputs[0].size:
        inputs[0][0, :2] = np.nan, np.inf
        inputs[-2 if counted else -1][...] = 0.01
    with threads.owned():
        check(COMPOSITES[name], inputs, params)


@pytest.mark.parametrize("shape", [(7, 5), (151, 301)])
@pytest.mark.parametrize(("name", "count", "counted", "params"), RULES[1:])
def test_a_transposed_gradient(name, count, counted, params, shape, rng):
    inputs = _inputs(rng, count, shape, counted)
    inputs[1] = np.ascontiguousarray(inputs[1].T).T
    check(COMPOSITES[name], inputs, params)


@pytest.mark.parametrize("shape", [(), (150, 301)])
@pytest.mark.parametrize(("name", "count"), [("adam_update", 4), ("amsgrad_update", 5)])
def test_faint_moments_become_zero_at_times(name, count, shape, rng):
    """Else they would fade until they are subnormal, and stay there and be slow."""
    inputs = _inputs(rng, count, shape, True)
    inputs[1][...] = 0.0
    for moment in inputs[2:4]:
        moment[...] = 1e-36
    for iterations, epsilon, gone in ((62, 1e-7, False), (63, 1e-7, True), (63, 1e-30, False)):
        inputs[-1] = np.array(iterations, np.int32)
        params = {**BETAS, "epsilon": epsilon}
        check(COMPOSITES[name], inputs, params)
        for moment in COMPOSITES[name].fn(*inputs, **params)[1:3]:
            assert (moment == 0).all() == gone


def test_parameters_and_moments_are_overwritten(rng):
    inputs = _inputs(rng, 4, (3, 4), True)
    specs = tuple(map(spec, inputs))
    ready = COMPOSITES["adam_update"].prepare(specs, (specs[0],) * 3, **BETAS)
    assert ready.overwrites == ((0, 0), (2, 1), (3, 2))


@pytest.mark.parametrize(("name", "count", "counted", "params"), RULES)
@pytest.mark.parametrize("shape", [(64, 32), (300, 301), (1050000,)])
def test_nothing_is_allocated(name, count, counted, params, shape, rng):
    inputs = _inputs(rng, count, shape, counted)
    with threads.owned():
        # Each thread makes views of nine arrays; a block would be 131072 bytes.
        assert allocated(COMPOSITES[name], inputs, params) < 8192


def test_low_precision_is_left_to_the_plain_kernel(rng):
    specs = tuple(map(spec, _inputs(rng, 2, (3,), False, "float16")))
    assert COMPOSITES["sgd_update"].prepare(specs, specs[:1]) is None
