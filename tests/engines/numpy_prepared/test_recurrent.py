"""Prepared kernels of the recurrent layers."""

import numpy as np
import pytest

from kbackend_numpy import threads
from kbackend_numpy.kernels.recurrent import COMPOSITES
from tests.engines.numpy_prepared.harness import allocated, check, spec

# name, blocks of weights, states, rows of biases
CELLS = [("lstm", 4, 2, None), ("gru", 3, 1, 2), ("simple_rnn", 1, 1, None)]
# In parts, a product of matrices adds in another order: roundings of a few hundred terms.
PARTS = {"rtol": 1e-4, "atol": 1e-5}


def _inputs(rng, blocks, states, biases, sizes, dtype="float32"):
    batch, time, features, units = sizes
    shapes = [(batch, time, features), (features, blocks * units), (units, blocks * units)]
    shapes += [(blocks * units,) if biases is None else (biases, blocks * units)]
    shapes += [(batch, units)] * states
    return [(rng.normal(size=shape) * 0.3).astype(dtype) for shape in shapes]


def _gradient_inputs(rng, name, inputs, states, form):
    found = COMPOSITES[f"{name}_sequence"].fn(*inputs, **form, keep=True)
    given = [rng.normal(size=a.shape).astype(a.dtype) for a in found[: 1 + states]]
    return [*given, *inputs, *found[1 + states :]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "sizes", [(3, 5, 2, 4), (1, 1, 1, 1), (2, 1, 3, 2), (700, 3, 2, 2), (0, 3, 2, 2)]
)
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("name", "blocks", "states", "biases"), CELLS)
def test_same_bits(name, blocks, states, biases, sequences, backwards, sizes, dtype, rng):
    inputs = _inputs(rng, blocks, states, biases, sizes, dtype)
    form = {"sequences": sequences, "backwards": backwards}
    for keep in (False, True):
        check(COMPOSITES[f"{name}_sequence"], inputs, {**form, "keep": keep})
    given = _gradient_inputs(rng, name, inputs, states, form)
    count = len(inputs)
    for wants in [(True,) * count, (False, True, True, True, *[False] * states)] + [
        tuple(i == k for i in range(count)) for k in range(count)
    ]:
        check(COMPOSITES[f"{name}_sequence_grad"], given, {**form, "wants": wants})


@pytest.mark.parametrize("batch", [64, 61])
@pytest.mark.parametrize(("name", "blocks", "states", "biases"), CELLS)
def test_halves_of_the_batch(name, blocks, states, biases, batch, rng, monkeypatch):
    monkeypatch.setattr("kbackend_numpy.kernels.recurrent_frame._LARGE_STEP", 1)
    inputs = _inputs(rng, blocks, states, biases, (batch, 13, 5, 16))
    for sequences in (False, True):
        form = {"sequences": sequences, "backwards": sequences}
        given = _gradient_inputs(rng, name, inputs, states, form)
        with threads.owned():
            for keep in (False, True):
                check(COMPOSITES[f"{name}_sequence"], inputs, {**form, "keep": keep}, **PARTS)
            wants = {"wants": (True,) * len(inputs)}
            check(COMPOSITES[f"{name}_sequence_grad"], given, {**form, **wants}, **PARTS)


@pytest.mark.parametrize(("name", "blocks", "states", "biases"), CELLS)
def test_infinity_and_nan(name, blocks, states, biases, rng):
    inputs = _inputs(rng, blocks, states, biases, (4, 3, 2, 3))
    inputs[0][0, 1], inputs[0][1, 0], inputs[0][2, 2] = np.inf, np.nan, -np.inf
    form = {"sequences": True, "backwards": False}
    check(COMPOSITES[f"{name}_sequence"], inputs, {**form, "keep": True})
    given = _gradient_inputs(rng, name, inputs, states, form)
    wants = {"wants": (True,) * len(inputs)}
    check(COMPOSITES[f"{name}_sequence_grad"], given, {**form, **wants})


@pytest.mark.parametrize(("name", "blocks", "states", "biases"), CELLS)
def test_strided_inputs(name, blocks, states, biases, rng):
    inputs = _inputs(rng, blocks, states, biases, (5, 4, 3, 6))
    inputs[0] = np.ascontiguousarray(inputs[0].transpose(1, 0, 2)).transpose(1, 0, 2)
    inputs[1:3] = [np.ascontiguousarray(a.T).T for a in inputs[1:3]]
    form = {"sequences": True, "backwards": True}
    check(COMPOSITES[f"{name}_sequence"], inputs, {**form, "keep": True})
    given = _gradient_inputs(rng, name, inputs, states, form)
    given[0] = np.ascontiguousarray(given[0].transpose(2, 1, 0)).transpose(2, 1, 0)
    wants = {"wants": (True,) * len(inputs)}
    check(COMPOSITES[f"{name}_sequence_grad"], given, {**form, **wants})


@pytest.mark.parametrize("sizes", [(16, 9, 8, 16), (64, 6, 32, 128)])
@pytest.mark.parametrize(("name", "blocks", "states", "biases"), CELLS)
def test_nothing_is_allocated(name, blocks, states, biases, sizes, rng):
    inputs = _inputs(rng, blocks, states, biases, sizes)
    form = {"sequences": True, "backwards": False}
    given = _gradient_inputs(rng, name, inputs, states, form)
    wants = {"wants": (True,) * len(inputs)}
    with threads.owned():
        # Views, and NumPy's own buffers for three operands on two threads. What is kept of the
        # larger size would be millions of bytes.
        assert allocated(COMPOSITES[f"{name}_sequence"], inputs, {**form, "keep": True}) < 65536
        assert allocated(COMPOSITES[f"{name}_sequence_grad"], given, {**form, **wants}) < 65536


def test_low_precision_is_left_to_the_plain_kernel(rng):
    specs = tuple(map(spec, _inputs(rng, 1, 1, None, (2, 3, 4, 5), "float16")))
    prepare = COMPOSITES["simple_rnn_sequence"].prepare
    assert prepare(specs, specs, sequences=False, backwards=False, keep=False) is None
