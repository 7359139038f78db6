"""Trainings from one seed: the same numbers as on the NumPy engine, for any number of threads."""

import numpy as np
import pytest

import kbackend as k
from kbackend import layers
from kbackend.base import naming
from kbackend.config import set_num_threads
from kbackend_numba import native

N = 50


@pytest.fixture(autouse=True)
def as_before():
    yield
    set_num_threads(None)


def dense():
    return (8, 6, 1), [
        layers.Flatten(),
        layers.Dense(33, activation="relu"),
        layers.Dropout(0.3),
        layers.Dense(17, activation="gelu"),
        layers.LayerNormalization(),
    ]


def convnet():
    return (9, 10, 3), [
        layers.Conv2D(8, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(16, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.AveragePooling2D(),
        layers.Flatten(),
    ]


def separable():
    return (8, 8, 4), [
        layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
        layers.SeparableConv2D(12, 3, strides=2, activation="silu"),
        layers.Conv2DTranspose(5, 3, strides=2),
        layers.GlobalMaxPooling2D(),
    ]


def sequence(layer):
    return lambda: ((12, 5), [layer(16, return_sequences=True), layer(9)])


def bidirectional():
    return (10,), [
        layers.Embedding(30, 8, mask_zero=True),
        layers.Bidirectional(layers.LSTM(7)),
    ]


def attention():
    return (12, 16), [
        layers.Conv1D(16, 3, dilation_rate=2, padding="causal"),
        _SelfAttention(),
        layers.LayerNormalization(),
        layers.GlobalAveragePooling1D(),
    ]


class _SelfAttention(layers.Layer):
    def __init__(self):
        super().__init__()
        self.attention = layers.MultiHeadAttention(4, 8)

    def build(self, shape):
        self.attention.build(shape, shape)

    def call(self, x):
        return x + self.attention(x, x)


MODELS = {
    "dense": dense,
    "convnet": convnet,
    "separable": separable,
    "lstm": sequence(layers.LSTM),
    "gru": sequence(layers.GRU),
    "simple_rnn": sequence(layers.SimpleRNN),
    "bidirectional": bidirectional,
    "attention": attention,
}


def trained(name, engine, optimizer="adam"):
    """Losses, predictions and weights of a short training."""
    with k.use_backend(engine):
        k.utils.set_random_seed(3)
        naming.reset_uids()
        shape, middle = MODELS[name]()
        rng = np.random.default_rng(0)
        x = rng.standard_normal((N, *shape)).astype("float32")
        if name == "bidirectional":
            x = rng.integers(0, 30, (N, *shape))
        y = rng.integers(0, 4, N)
        model = k.Sequential([k.Input(shape), *middle, layers.Dense(4, activation="softmax")])
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(x, y, batch_size=16, epochs=3, verbose=0).history
        assert model._steps._steps["train_step"].executables()
        predicted = model.predict(x, verbose=0)
        return [*map(np.asarray, history.values()), predicted, *map(np.asarray, model.weights)]


@pytest.mark.parametrize("name", MODELS)
def test_same_as_numpy(name):
    for found, wanted in zip(trained(name, "numba"), trained(name, "numpy"), strict=True):
        # Twelve steps of sums in float32 that are taken in another order; Adam divides by roots
        # of small numbers.
        np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("name", MODELS)
def test_bit_equal_for_any_number_of_threads(name, monkeypatch):
    # Everything that can be shared is, however small.
    monkeypatch.setattr(native, "_WORTH_SHARING", 0.0)
    monkeypatch.setattr(native, "_WORTH_A_CHUNK", 0.0)
    monkeypatch.setattr(native, "_WORTH_WAKING", 0.0)
    results = []
    for count in (1, 2, 5):
        set_num_threads(count)
        results.append(trained(name, "numba", "sgd"))
    for other in results[1:]:
        for found, wanted in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(found, wanted)
