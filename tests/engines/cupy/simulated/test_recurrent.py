"""Recurrent layers on the simulated GPU: curves of training, and single calls."""

import numpy as np
import pytest

import kbackend as keras
from kbackend.autodiff import vjp
from kbackend.compiler.compiled import jit
from kbackend.core import lang
from kbackend.core.tensor import tensor
from kbackend.ops.nn import rnn
from kbackend_cupy.codegen import loop, recurrent_team
from tests.engines.cupy.recurrent import CELLS, arguments
from tests.engines.cupy.simulated import models

layers = keras.layers
# Orthogonal matrices need what the simulator doesn't have.
HOW = {"recurrent_initializer": "glorot_uniform"}


def stacked(layer):
    """Two layers, of which the second one goes back, behind a mask."""
    return [
        layers.Masking(0.0),
        layer(6, return_sequences=True, **HOW),
        layer(5, go_backwards=True, **HOW),
    ]


def both_ways():
    return [layers.Masking(0.0), layers.Bidirectional(layers.LSTM(5, **HOW))]


MODELS = {
    "lstm": lambda: stacked(layers.LSTM),
    "gru": lambda: stacked(layers.GRU),
    "simple_rnn": lambda: stacked(layers.SimpleRNN),
    "bidirectional": both_ways,
}


def trained(name, engine="cupy", epochs=3):
    """The curve of a model's training on sequences of several lengths, and what it predicts."""
    x, y = models.data("lstm")
    x = x * (np.arange(5) < np.arange(len(x))[:, None] % 4 + 2)[..., None]
    return models.curve(engine, lambda: [*MODELS[name](), layers.Dense(5)], x, y, epochs)


@pytest.mark.parametrize("name", MODELS)
def test_curves_are_those_of_numpy_and_the_same_in_each_run(gpu, name):
    found, expected = trained(name), trained(name, "numpy")
    for a, b in zip(found, trained(name), strict=True):
        np.testing.assert_array_equal(a, b)
    # Sums in other orders, three epochs long.
    np.testing.assert_allclose(found[0], expected[0], rtol=2e-4)
    np.testing.assert_allclose(found[1], expected[1], rtol=2e-3, atol=2e-4)


def test_layers_with_many_weights_are_loops(gpu, monkeypatch):
    with gpu.counted() as whole:
        expected, _ = trained("lstm", epochs=1)
    monkeypatch.setattr(recurrent_team, "_MOST_WEIGHTS", 0)
    with gpu.counted() as loops:
        found, _ = trained("lstm", epochs=1)
    np.testing.assert_allclose(found, expected, rtol=2e-4)
    assert loops[0].launches > 1.5 * whole[0].launches


@pytest.mark.parametrize("cell", CELLS)
def test_single_calls_and_programs_understand_each_other(gpu, cell):
    args, cotangents = arguments(cell, (5, 4, 3, 6))
    forward = getattr(rnn, f"{cell}_sequence")
    params = {"sequences": False, "backwards": False}

    def outputs(*args):
        return forward(*args, **params, keep=True)[: len(cotangents)]

    args, cotangents = [[tensor(a) for a in arrays] for arrays in (args, cotangents)]
    made, pull = vjp(outputs, *args)
    single, compiled = pull(tuple(cotangents)), jit(pull)(tuple(cotangents))
    for a, b in zip(single, compiled, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    expected = forward.body(*args, **params, keep=False)
    for a, b in zip(made, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_elements_that_lie_far_apart_are_copied(gpu, compiled, monkeypatch):
    args, _ = arguments("gru", (2, 3, 4, 5))
    params = {"sequences": True, "backwards": False, "keep": False}

    def sparse(x, *rest):
        return rnn.gru_sequence(lang.slice_(x, (0,) * 3, (2, 3, 4)), *rest, **params)

    expected = rnn.gru_sequence(*map(tensor, args), **params)
    # As if there were billions between them.
    monkeypatch.setattr(loop, "SHORT", 300)
    large = np.zeros((2, 60, 4), "float32")
    large[:, :3] = args[0]
    found = (jit(sparse) if compiled else sparse)(tensor(large), *map(tensor, args[1:]))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_single_call_is_a_few_launches(gpu):
    args = [tensor(a) for a in arguments("lstm", (5, 40, 3, 6))[0]]
    params = {"sequences": True, "backwards": False, "keep": False}
    rnn.lstm_sequence(*args, **params)
    with gpu.counted() as found:
        rnn.lstm_sequence(*args, **params)
    assert found[0].launches == 2


def test_a_single_call_of_what_has_no_kernel_is_its_body(gpu, monkeypatch):
    args = [tensor(a) for a in arguments("gru", (2, 3, 4, 5))[0]]
    params = {"sequences": True, "backwards": False, "keep": False}
    expected = rnn.gru_sequence(*args, **params)
    monkeypatch.setattr(recurrent_team, "_MOST_WEIGHTS", 0)
    # Of another layout, so that its kernel is not known yet.
    args[0] = tensor(np.asfortranarray(args[0].numpy()))
    with gpu.counted() as counts:
        found = rnn.gru_sequence(*args, **params)
    assert counts[0].launches > 2
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
