"""`python -m kbackend demo`: a convnet learns to read handwritten digits, in under a minute."""

from __future__ import annotations

import argparse
import pathlib
import tempfile
import time
from typing import Any

import numpy as np
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from kbackend import layers, models, optimizers, saving
from kbackend.datasets import digits
from kbackend.engine.loader import backend
from kbackend.state.seed import set_random_seed

_BATCH_SIZE = 32
_SHADES = " .:-=+*#%@"


def build_model(learning_rate: Any) -> Any:
    """Three normalized convolutions, pooling, dropout and a softmax over ten digits."""
    stack = [layers.Input((8, 8, 1))]
    for filters, pooled in ((32, False), (64, True), (64, True)):
        stack += [
            layers.Conv2D(filters, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
        ]
        if pooled:
            stack.append(layers.MaxPooling2D())
    stack += [layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, activation="softmax")]
    model = models.Sequential(stack, name="digits")
    model.compile(
        optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def draw(image: np.ndarray[Any, Any], title: str, right: bool) -> Panel:
    """An 8x8 image in characters, two per pixel so that it looks square."""
    rows = [
        "".join(_SHADES[int(value * (len(_SHADES) - 1))] * 2 for value in row)
        for row in image.reshape(8, 8)
    ]
    return Panel(Text("\n".join(rows)), title=title, border_style="green" if right else "red")


def main(argv: list[str] | None = None) -> int:
    """Trains, tests, saves, loads and shows the model.

    Args:
        argv: command line arguments after `demo`.

    Returns:
        Exit status.
    """
    parser = argparse.ArgumentParser(prog="kbackend demo", description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="passes over the 1,438 images")
    parser.add_argument("--seed", type=int, default=1, help="seed of weights, dropout and shuffles")
    parser.add_argument(
        "--save", type=pathlib.Path, help="where to keep the model; a temporary file by default"
    )
    options = parser.parse_args(argv)
    console = Console()
    set_random_seed(options.seed)
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    x_train, x_test = ((x[..., None] / 16.0).astype("float32") for x in (x_train, x_test))
    steps = options.epochs * -(-len(x_train) // _BATCH_SIZE)
    model = build_model(optimizers.schedules.CosineDecay(3e-3, steps))
    model.summary()
    started = time.perf_counter()
    history = model.fit(x_train, y_train, batch_size=_BATCH_SIZE, epochs=options.epochs)
    seconds = time.perf_counter() - started
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    before = model.predict(x_test, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = options.save or pathlib.Path(folder) / "digits.keras"
        model.save(path)
        size = path.stat().st_size
        restored = saving.load_model(path)
    after = restored.predict(x_test, verbose=0)
    same = bool(np.array_equal(before, after))

    table = Table(title=f"Handwritten digits on the engine '{backend()}'", show_header=False)
    table.add_row("parameters", f"{model.count_params():,}")
    table.add_row("training", f"{seconds:.1f} s, {len(history.epoch)} epochs")
    table.add_row("last training accuracy", f"{history.history['accuracy'][-1]:.2%}")
    table.add_row("test accuracy", f"{accuracy:.2%} of {len(x_test)} images")
    table.add_row("test loss", f"{loss:.4f}")
    table.add_row("saved file", f"{size / 1024:.0f} KiB")
    table.add_row("loaded model predicts the same", "yes" if same else "no")
    console.print(table)
    guesses = after.argmax(axis=-1)
    wrong = np.flatnonzero(guesses != y_test)[:2]
    shown = [*range(4), *wrong]
    console.print(
        Columns(
            [
                draw(
                    x_test[i],
                    f"{guesses[i]} ({after[i].max():.0%})"
                    + ("" if guesses[i] == y_test[i] else f", is {y_test[i]}"),
                    bool(guesses[i] == y_test[i]),
                )
                for i in shown
            ]
        )
    )
    return 0 if same else 1
