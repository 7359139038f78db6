"""Keeping the best model, stopping in time, and loading it again.

Teaches callbacks: `ModelCheckpoint` writes the model whenever the validation loss has never been
lower, `EarlyStopping` ends a training that no longer helps. The model is large for its 200 training
images on purpose, so that its validation loss rises again after a while. The data are real: images
of handwritten digits that ship with kbackend.

    python examples/checkpointing.py
"""

import argparse
import pathlib
import tempfile

import numpy as np

import kbackend as keras
from kbackend.datasets import digits


def load_data():
    """200 images to train on, 300 to validate on, and the test images."""
    (x, y), (x_test, y_test) = digits.load_data(flatten=True)
    x, x_test = x.astype("float32") / 16, x_test.astype("float32") / 16
    return (x[:200], y[:200]), (x[200:500], y[200:500]), (x_test, y_test)


def build_model():
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def main(quick=False, folder=None):
    keras.utils.set_random_seed(1)
    train, validation, (x_test, y_test) = load_data()
    path = pathlib.Path(folder or tempfile.mkdtemp(prefix="checkpoints-")) / "best.keras"
    model = build_model()
    history = model.fit(
        *train,
        epochs=60 if quick else 200,
        batch_size=32,
        validation_data=validation,
        verbose=0,
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                path, monitor="val_loss", save_best_only=True, verbose=1
            ),
            keras.callbacks.EarlyStopping(monitor="val_loss", patience=8, verbose=1),
        ],
    )
    losses = history.history["val_loss"]
    print(f"Validation loss: best {min(losses):.4f} in epoch {int(np.argmin(losses)) + 1},")
    print(f"                 last {losses[-1]:.4f} in epoch {len(losses)}.")

    best = keras.models.load_model(path)
    loaded_loss, _ = best.evaluate(*validation, verbose=0)
    _, accuracy = best.evaluate(x_test, y_test, verbose=0)
    print(f"Loaded from {path} ({path.stat().st_size // 1024} KiB):")
    print(f"validation loss {loaded_loss:.4f}, test accuracy {accuracy:.1%}.")
    return {
        "losses": losses,
        "loaded_loss": loaded_loss,
        "accuracy": accuracy,
        "path": path,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="allow fewer epochs")
    main(parser.parse_args().quick)
