"""Texts of three models' training steps, traced and compiled.

They show what a change of layers, gradients or passes makes of programs. Where a change is meant,
write them anew and look at the difference:

    python -m tests.compiler.golden && git diff tests/compiler/golden
"""

from pathlib import Path

import numpy as np

from kbackend import layers, models
from kbackend.compiler.pipeline import optimize
from kbackend.core.tensor import tensor
from kbackend.engine.loader import get_engine
from kbackend.ir.trace import trace
from kbackend.state.seed import set_random_seed

FOLDER = Path(__file__).parent / "golden"


def mlp():
    """Two layers with dropout between them, trained with momentum."""
    parts = [layers.Dense(6, activation="relu"), layers.Dropout(0.5), layers.Dense(3)]
    return models.Sequential(parts), (4, 5), "sgd"


def convnet():
    """A convolution, a normalization, a pooling and a classifier."""
    parts = [
        layers.Conv2D(4, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(3),
    ]
    return models.Sequential(parts), (2, 8, 8, 1), "adam"


def lstm():
    """A recurrent layer and a classifier."""
    return models.Sequential([layers.LSTM(4), layers.Dense(3)]), (2, 5, 3), "adam"


def text_of(make):
    """A model's training step, as it is traced and as it is compiled for NumPy."""
    set_random_seed(0)
    model, shape, optimizer = make()
    model.compile(optimizer, "mse")
    model.build(shape)
    model.optimizer.build(model.trainable_variables)
    x, y = tensor(np.zeros(shape, "float32")), tensor(np.zeros((shape[0], 3), "float32"))
    graph = trace(lambda data: model.train_step(data), ((x, y),), make.__name__).graph
    compiled = optimize(graph, get_engine("numpy"))
    return f"# traced\n\n{graph}\n\n# compiled for NumPy\n\n{compiled}\n"


MODELS = {make.__name__: make for make in (mlp, convnet, lstm)}


def main():
    """Writes the texts."""
    for name, make in MODELS.items():
        (FOLDER / f"{name}.txt").write_text(text_of(make), encoding="utf-8")


if __name__ == "__main__":
    main()
