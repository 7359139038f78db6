"""Compiled recurrent layers against NumPy's: what is kept in between has an order of its own."""

import numpy as np
import pytest

from kbackend_numba.native import Native
from kbackend_numba.table import prepare
from kbackend_numpy.engine import NumpyEngine
from tests.engines.numba.harness import item_by_item
from tests.engines.numpy_prepared.harness import garbage, spec

NUMPY = NumpyEngine().composites
# name -> numbers of states, of blocks of weights, of rows of biases
CELLS = {"lstm": (2, 4, 1), "gru": (1, 3, 2), "simple_rnn": (1, 1, 1)}
# batch, time, features, units
SHAPES = [
    (1, 1, 1, 1), (3, 4, 5, 3), (8, 2, 1, 16), (13, 3, 7, 17), (25, 2, 3, 33), (33, 5, 40, 32),
    (1, 6, 2, 70), (150, 3, 4, 9), (7, 20, 3, 40),
]  # fmt: skip
# Sums of products of numbers around 1, each rounded; what comes back adds up over the steps.
TOLERANCE = {"float32": 2e-5, "float64": 1e-13}


def arguments(cell, shape, dtype, rng):
    """Arguments of a layer, and cotangents of its results."""
    states, blocks, rows = CELLS[cell]
    batch, time, features, units = shape

    def array(*dims, scale=1.0):
        return (rng.standard_normal(dims) * scale).astype(dtype)

    bias = array(rows, blocks * units) if rows > 1 else array(blocks * units)
    args = [
        array(batch, time, features),
        array(features, blocks * units, scale=features**-0.5),
        array(units, blocks * units, scale=units**-0.5),
        bias,
        *[array(batch, units) for _ in range(states)],
    ]
    return args, [array(batch, units) for _ in range(1 + states)]


def run(name, inputs, outputs, params, pieces=False):
    """The results of a compiled kernel, of the form of `outputs`."""
    made = tuple(map(spec, outputs))
    ready = prepare(name, tuple(map(spec, inputs)), made, params)
    assert isinstance(ready, Native), "declined"
    made, scratch = list(map(garbage, made)), list(map(garbage, ready.scratch))
    before = [a.copy() for a in inputs]
    if pieces:
        item_by_item(ready, [*made, *inputs, *scratch])
    else:
        ready.run(*made, *inputs, *scratch)
    for array, copy in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    return made


def both(cell, args, cotangents, sequences=False, backwards=False, wants=None, **options):
    """Results and gradients: compiled, and NumPy's."""
    params = {"sequences": sequences, "backwards": backwards}
    wants = wants or (True,) * len(args)
    states = CELLS[cell][0]
    with np.errstate(all="ignore"):
        wanted = NUMPY[f"{cell}_sequence"].fn(*args, **params, keep=True)
        kept = wanted[1 + states :]
        if sequences:
            cotangents = [np.stack([cotangents[0]] * args[0].shape[1], 1), *cotangents[1:]]
        grads = NUMPY[f"{cell}_sequence_grad"].fn(*cotangents, *args, *kept, **params, wants=wants)
    found = run(f"{cell}_sequence", args, wanted, {**params, "keep": True}, **options)
    kept = found[1 + states :]
    found_grads = run(
        f"{cell}_sequence_grad", [*cotangents, *args, *kept], grads, {**params, "wants": wants},
        **options,
    )  # fmt: skip
    return [*found[: 1 + states], *found_grads], [*wanted[: 1 + states], *grads]


def check(cell, args, cotangents, **options):
    found, wanted = both(cell, args, cotangents, **options)
    tolerance = TOLERANCE[args[0].dtype.name]
    for f, w in zip(found, wanted, strict=True):
        scale = max(1.0, float(np.abs(w).max())) if w.size else 1.0
        np.testing.assert_allclose(f, w, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", list(CELLS))
def test_equals_numpys(cell, shape, sequences, rng):
    check(cell, *arguments(cell, shape, "float32", rng), sequences=sequences)


@pytest.mark.parametrize("cell", list(CELLS))
def test_backwards_in_float64(cell, rng):
    for shape in SHAPES[:6]:
        check(cell, *arguments(cell, shape, "float64", rng), sequences=True, backwards=True)
