"""A multilayer perceptron that reads handwritten digits.

Teaches the five steps of every Keras program: data, model, `compile`, `fit`, `evaluate`. The data
are real: 1,797 images of 8x8 pixels (UCI Machine Learning Repository) that ship with kbackend.

    python examples/mlp_classifier.py
"""

import argparse

import kbackend as keras
from kbackend.datasets import digits


def load_data():
    """Images as rows of 64 numbers from 0 to 1, and digits as integers."""
    (x_train, y_train), (x_test, y_test) = digits.load_data(flatten=True)
    return (x_train.astype("float32") / 16, y_train), (x_test.astype("float32") / 16, y_test)


def build_model(dropout=0.2):
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
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
        x_train, y_train, epochs=8 if quick else 30, batch_size=32, validation_split=0.1, verbose=2
    )
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"Test loss {loss:.3f}, test accuracy {accuracy:.1%} of {len(x_test)} images.")

    probabilities = model.predict(x_test[:5], verbose=0)
    for row, truth in zip(probabilities, y_test[:5], strict=True):
        print(f"I see a {row.argmax()} ({row.max():.0%} sure); it is a {truth}.")
    return {"accuracy": accuracy}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
    main(parser.parse_args().quick)
