"""Small models with what the benchmark models consist of, trained on any engine."""

from __future__ import annotations

import numpy as np

import kbackend as keras

layers = keras.layers


def mlp():
    return [layers.Dense(12, activation="relu"), layers.Dropout(0.25), layers.Dense(5)]


def cnn():
    return [
        layers.Conv2D(4, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.GlobalAveragePooling2D(),
        layers.Dense(5),
    ]


def lstm():
    return [layers.LSTM(6, recurrent_initializer="glorot_uniform"), layers.Dense(5)]


class Attention(layers.Layer):
    """Attention of a sequence to itself, with a layer normalisation."""

    def __init__(self):
        super().__init__()
        self.attention = layers.MultiHeadAttention(2, 4)
        self.norm = layers.LayerNormalization()

    def build(self, shape):
        self.attention.build(shape, shape)
        self.norm.build(shape)

    def call(self, x):
        return self.norm(x + self.attention(x, x))


def transformer():
    return [Attention(), layers.GlobalAveragePooling1D(), layers.Dense(5)]


# Name -> layers, and the shape of one example.
MODELS = {
    "mlp": (mlp, (7,)),
    "cnn": (cnn, (10, 10, 2)),
    "lstm": (lstm, (5, 3)),
    "transformer": (transformer, (6, 8)),
}
BATCH, STEPS = 8, 3


def data(name):
    """Examples and labels."""
    rng = np.random.default_rng(1)
    count = BATCH * STEPS
    x = rng.standard_normal((count, *MODELS[name][1])).astype("float32")
    return x, rng.integers(0, 5, count).astype("int32")


def compiled(name):
    """A model, from one seed."""
    keras.utils.set_random_seed(3)
    build, shape = MODELS[name]
    model = keras.Sequential([layers.Input(shape), *build()])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


def fit(model, x, y, epochs=1, **how):
    """Trains on batches in their order."""
    return model.fit(x, y, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, **how)


def curve(engine, build, x, y, epochs):
    """The losses of a training on an engine, from one seed, and what the model then predicts.

    Args:
        engine: its name.
        build: makes the layers.
        x: examples.
        y: labels.
        epochs: how many.
    """
    keras.set_backend(engine)
    keras.utils.set_random_seed(3)
    model = keras.Sequential([layers.Input(x.shape[1:]), *build()])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    found = fit(model, x, y, epochs=epochs).history["loss"]
    return np.array(found), model.predict(x, batch_size=BATCH, verbose=0)
