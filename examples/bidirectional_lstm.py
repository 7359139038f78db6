"""A bidirectional LSTM, beside one that only looks back.

Teaches `Bidirectional` and answers at every time step. The task: for each number of a sequence, say
whether the numbers after it add up to more than those before it. Whoever reads from left to right
cannot know what is still to come; whoever also reads from right to left can. The sequences are
synthetic, random numbers with a fixed seed.

    python examples/bidirectional_lstm.py
"""

import argparse

import numpy as np

import kbackend as keras

STEPS = 12


def make_synthetic_sequences(rows, seed):
    """Random sequences, and at each step whether more follows than went before."""
    values = np.random.default_rng(seed).normal(size=(rows, STEPS)).astype("float32")
    before = np.cumsum(values, axis=1) - values
    after = values.sum(axis=1, keepdims=True) - before - values
    return values[..., None], (after > before).astype("float32")[..., None]


def build_model(both_ways):
    lstm = keras.layers.LSTM(16, return_sequences=True)
    model = keras.Sequential(
        [
            keras.Input((STEPS, 1)),
            keras.layers.Bidirectional(lstm) if both_ways else lstm,
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(1e-2), loss="binary_crossentropy", metrics=["accuracy"]
    )
    return model


def main(quick=False):
    x_train, y_train = make_synthetic_sequences(2000, seed=1)
    x_test, y_test = make_synthetic_sequences(500, seed=2)
    accuracies = {}
    for name, both_ways in (("forward", False), ("bidirectional", True)):
        keras.utils.set_random_seed(1)
        model = build_model(both_ways)
        model.fit(x_train, y_train, epochs=6 if quick else 15, batch_size=64, verbose=2)
        _, accuracies[name] = model.evaluate(x_test, y_test, verbose=0)
        print(f"{name}: {accuracies[name]:.1%} of the answers are right.")
    return accuracies


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
    main(parser.parse_args().quick)
