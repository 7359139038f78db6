"""Two stacked LSTMs learn the alphabet.

Teaches recurrent layers: the first LSTM hands its whole sequence of outputs to the second
(`return_sequences=True`), the second only its last output to the classifier. It sees three letters
and says the next one. TensorBoard records the training:

    python examples/stacked_lstm_alphabet.py --logs logs
    tensorboard --logdir logs
"""

import argparse
import pathlib
import string
import tempfile

import numpy as np

import kbackend as keras

LETTERS = string.ascii_uppercase
WINDOW = 3


def load_data():
    """Every run of three letters, as one-hot vectors, and the letter that follows."""
    codes = np.arange(len(LETTERS))
    windows = np.stack([codes[i : i + WINDOW] for i in range(len(LETTERS) - WINDOW)])
    return keras.utils.to_categorical(windows, len(LETTERS)), codes[WINDOW:]


def build_model(units=32, learning_rate=1e-2):
    model = keras.Sequential(
        [
            keras.Input((WINDOW, len(LETTERS))),
            keras.layers.LSTM(units, return_sequences=True),
            keras.layers.LSTM(units),
            keras.layers.Dense(len(LETTERS), activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def main(quick=False, logs=None):
    keras.utils.set_random_seed(1)
    x, y = load_data()
    model = build_model()
    folder = pathlib.Path(logs or tempfile.mkdtemp(prefix="alphabet-"))
    history = model.fit(
        x,
        y,
        epochs=60 if quick else 150,
        batch_size=4,
        verbose=0,
        callbacks=[
            keras.callbacks.TensorBoard(folder),
            keras.callbacks.EarlyStopping(monitor="loss", min_delta=1e-3, patience=20),
        ],
    )
    for epoch in range(0, len(history.epoch), 10):
        values = {name: series[epoch] for name, series in history.history.items()}
        print(f"epoch {epoch:3d}: loss {values['loss']:.3f}, accuracy {values['accuracy']:.0%}")

    guesses = model.predict(x, verbose=0).argmax(axis=-1)
    for i, guess in enumerate(guesses):
        verdict = "" if guess == y[i] else f"  (should be {LETTERS[y[i]]})"
        print(f"{LETTERS[i : i + WINDOW]} -> {LETTERS[guess]}{verdict}")
    accuracy = float((guesses == y).mean())
    print(f"It knows {accuracy:.0%} of the alphabet. See: tensorboard --logdir {folder}")
    return {"accuracy": accuracy, "logs": folder}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for fewer epochs")
    parser.add_argument("--logs", help="folder for TensorBoard; a temporary one by default")
    options = parser.parse_args()
    main(options.quick, options.logs)
