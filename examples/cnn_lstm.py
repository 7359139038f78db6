"""CNN-LSTM: which way does the digit move?

Teaches how to put an image model inside a sequence model: `TimeDistributed` runs one small convnet
on each frame, and an LSTM reads what it found in order. The movies are synthetic, made with a fixed
seed from real images of handwritten digits that ship with kbackend. A single frame does not tell
the direction, so the model must use time.

    python examples/cnn_lstm.py
"""

import argparse

import numpy as np

import kbackend as keras
from kbackend.datasets import digits

FRAMES = 5
SIZE = 12
DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}


def make_synthetic_movies(images, seed):
    """One movie of each image: it slides across a larger frame, two pixels at a time.

    What leaves the frame on one side comes back in on the other, so that the places where a digit
    begins and ends say nothing about its direction.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(DIRECTIONS), len(images))
    frames = np.zeros((len(images), SIZE, SIZE, 1), "float32")
    frames[:, 2:10, 2:10, 0] = images / 16
    movies = []
    for frame, label in zip(frames, labels, strict=True):
        start = rng.integers(0, SIZE, 2)
        step = 2 * np.array(list(DIRECTIONS.values())[label])
        movies.append([np.roll(frame, start + i * step, axis=(0, 1)) for i in range(FRAMES)])
    return np.array(movies), labels


def load_data():
    (x_train, _), (x_test, _) = digits.load_data()
    return make_synthetic_movies(x_train[:1000], seed=1), make_synthetic_movies(x_test, seed=2)


def build_model():
    convnet = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 1)),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
        ],
        name="frame",
    )
    model = keras.Sequential(
        [
            keras.Input((FRAMES, SIZE, SIZE, 1)),
            keras.layers.TimeDistributed(convnet),
            keras.layers.LSTM(32),
            keras.layers.Dense(len(DIRECTIONS), activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def main(quick=False):
    keras.utils.set_random_seed(1)
    (x_train, y_train), (x_test, y_test) = load_data()
    model = build_model()
    model.summary()
    model.fit(
        x_train,
        y_train,
        epochs=9 if quick else 15,
        batch_size=32,
        validation_data=(x_test, y_test),
        verbose=2,
    )
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    # The same frame over and over: nothing moves, so nothing better than a guess is possible.
    still = np.repeat(x_test[:, :1], FRAMES, axis=1)
    _, still_accuracy = model.evaluate(still, y_test, verbose=0)
    print(f"Accuracy {accuracy:.1%} on moving pictures, {still_accuracy:.1%} on frozen ones.")
    return {"accuracy": accuracy, "still_accuracy": still_accuracy}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
    main(parser.parse_args().quick)
