"""An autoencoder squeezes images of 64 pixels into 8 numbers and back.

Teaches learning without labels: inputs are their own targets. The encoder, the decoder and the
whole are three models on the same layers. To judge the result, it is compared with the best linear
code of the same length (principal components). The data are real: images of handwritten digits that
ship with kbackend.

    python examples/autoencoder.py
"""

import argparse

import numpy as np

import kbackend as keras
from kbackend.datasets import digits

CODE = 8
SHADES = " .:-=+*#%@"


def load_data():
    (x_train, _), (x_test, _) = digits.load_data(flatten=True)
    return x_train.astype("float32") / 16, x_test.astype("float32") / 16


def build_model():
    encoder = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(CODE),
        ],
        name="encoder",
    )
    decoder = keras.Sequential(
        [
            keras.Input((CODE,)),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(64, activation="sigmoid"),
        ],
        name="decoder",
    )
    image = keras.Input((64,), name="image")
    autoencoder = keras.Model(image, decoder(encoder(image)), name="autoencoder")
    autoencoder.compile(optimizer=keras.optimizers.Adam(2e-3), loss="mean_squared_error")
    return autoencoder


def principal_components_error(train, test):
    """Squared error of the best linear code of the same length."""
    mean = train.mean(axis=0)
    _, _, rows = np.linalg.svd(train - mean, full_matrices=False)
    basis = rows[:CODE]
    restored = (test - mean) @ basis.T @ basis + mean
    return float(np.mean((test - restored) ** 2))


def draw(*images):
    """Images side by side, in characters, two per pixel so that they look square."""
    for row in range(8):
        lines = (image.reshape(8, 8)[row].clip(0, 1) for image in images)
        print("   ".join("".join(SHADES[int(v * 9)] * 2 for v in line) for line in lines))


def main(quick=False):
    keras.utils.set_random_seed(1)
    x_train, x_test = load_data()
    model = build_model()
    model.summary(expand_nested=True)
    history = model.fit(
        x_train,
        x_train,
        epochs=15 if quick else 80,
        batch_size=32,
        validation_data=(x_test, x_test),
        verbose=2,
    )
    error = model.evaluate(x_test, x_test, verbose=0)
    linear = principal_components_error(x_train, x_test)
    print(f"Squared error {error:.4f}; principal components: {linear:.4f}.")
    print("Originals, and below what is left of them after the bottleneck:")
    shown = x_test[:5]
    draw(*shown)
    draw(*model.predict(shown, verbose=0))
    return {"losses": history.history["loss"], "error": error, "linear_error": linear}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
    main(parser.parse_args().quick)
