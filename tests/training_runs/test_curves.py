"""Whole trainings: against real Keras, against themselves, and across a change of engine."""

import numpy as np
import pytest

import kbackend
from kbackend.engine.loader import register_engine, unregister_engine
from tests.examples.loading import load

# Keras asks a newer JAX for integers of 64 bits, which that says it doesn't give.
pytestmark = pytest.mark.filterwarnings("ignore:Explicitly requested dtype:UserWarning")

EPOCHS = 5
ROWS = 320


def mlp(example):
    (x, y), _ = example.load_data()
    return example.build_model(dropout=0.0), x[:ROWS], y[:ROWS]


def convnet(example):
    (x, y), _ = example.load_data()
    return example.build_model(learning_rate=0.01, dropout=0.0), x[:ROWS], y[:ROWS]


def alphabet(example):
    return example.build_model(), *example.load_data()


def autoencoder(example):
    x, _ = example.load_data()
    return example.build_model(), x[:ROWS], x[:ROWS]


def text(example):
    (_, x, y), _, vocabulary = example.load_data()
    return example.build_model(len(vocabulary) + 2), x, y


# Example -> model and data from it, and how far apart the losses may be, relatively. Initial
# weights that differ in their last bit change the losses of these models by up to 3e-7 in five
# epochs, so 1e-5 is room for rounding and for little else. The rectifiers and the max pooling of
# the convnet have a million kinks, though: one value that rounding moves over one of them changes
# the losses from there on, by up to 1e-3. (With tanh and average pooling it stays at 2e-7.)
CASES = {
    "mlp_classifier": (mlp, 1e-5),  # Adam
    "convnet": (convnet, 2e-3),  # SGD with momentum, batch normalization
    "stacked_lstm_alphabet": (alphabet, 1e-5),  # RMSprop
    "autoencoder": (autoencoder, 1e-5),  # Adam, models within a model
    "text_classification": (text, 1e-5),  # AdamW, embedding, mask
}


def fit(model, x, y, **options):
    options = {"epochs": EPOCHS, "shuffle": False} | options
    history = model.fit(x, y, batch_size=min(32, len(x) // 4), verbose=0, **options)
    return np.array(history.history["loss"])


@pytest.mark.parametrize("name", CASES)
def test_curve_is_that_of_keras(name):
    keras = pytest.importorskip("keras")
    prepare, tolerance = CASES[name]
    oracle, x, y = prepare(load(name, "keras"))
    assert isinstance(oracle, keras.Model)
    model, _, _ = prepare(load(name))
    assert isinstance(model, kbackend.Model)
    # This way round, so that the weights are the same in every run of the test.
    oracle.set_weights(model.get_weights())
    got, expected = fit(model, x, y), fit(oracle, x, y)
    assert expected[-1] < 0.95 * expected[0], "nothing is learned, so nothing is compared"
    np.testing.assert_allclose(got, expected, rtol=tolerance)
    # And what was learned, the moving averages included. Where an optimizer divides by the size of
    # a gradient that is mostly rounding, a step may differ as a whole, and steps are about 1e-3.
    for weight, other in zip(model.weights, oracle.weights, strict=True):
        np.testing.assert_allclose(
            weight.numpy(), np.asarray(other.value), atol=1e-3, err_msg=other.path
        )


# The same again with everything that draws random numbers: weights, dropout, shuffles, sampling.
def random_mlp(example):
    (x, y), _ = example.load_data()
    return example.build_model(), x[:ROWS], y[:ROWS]


def random_vae(example):
    x, _ = example.load_data()
    model = example.VAE()
    model.compile("adam", example.reconstruction_loss)
    return model, x[:ROWS], x[:ROWS]


@pytest.mark.parametrize(("name", "prepare"), [("mlp_classifier", random_mlp), ("vae", random_vae)])
def test_same_seed_same_losses(name, prepare):
    def losses(seed):
        kbackend.utils.set_random_seed(seed)
        return fit(*prepare(load(name)), shuffle=True)

    first = losses(1)
    np.testing.assert_array_equal(losses(1), first)
    assert not np.allclose(losses(2), first)


@pytest.fixture
def counting():
    register_engine("counting", load("counting_engine").CountingEngine)
    yield "counting"
    unregister_engine("counting")


@pytest.mark.parametrize("name", ["convnet", "stacked_lstm_alphabet"])
def test_training_continues_on_another_engine(name, counting):
    prepare, tolerance = CASES[name]
    stayed, x, y = prepare(load(name))
    moved, _, _ = prepare(load(name))
    moved.set_weights(stayed.get_weights())

    def losses(model):
        return fit(model, x, y, epochs=2)

    np.testing.assert_array_equal(losses(moved), losses(stayed))
    before = moved.predict(x, verbose=0)
    home = kbackend.config.backend()
    with kbackend.use_backend(counting) as engine:
        # It has no kernels for composites, so their parts are rounded differently.
        np.testing.assert_allclose(moved.predict(x, verbose=0), before, atol=1e-6)
        # The optimizer's variables and the metrics move as well.
        elsewhere = losses(moved)
        assert engine.counts["dot"] > 20
        assert {weight.value.engine.name for weight in moved.weights} == {counting}
    assert kbackend.config.backend() == home != counting
    engine.counts.clear()
    np.testing.assert_allclose(elsewhere, losses(stayed), rtol=tolerance)
    # And back to where the other model is.
    np.testing.assert_allclose(losses(moved), losses(stayed), rtol=tolerance)
    assert not engine.counts, "something is still computed there"
