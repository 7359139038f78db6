"""The convnet for 28x28 digits."""

from __future__ import annotations

from typing import Any

from . import torch_twin
from .base import Model


def build(keras: Any, dropout: bool) -> Any:
    """Convolution 32, pool, convolution 64, pool, dense."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5 if dropout else 0.0),
            layers.Dense(10, activation="softmax"),
        ]
    )


def build_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn

    class Flatten(nn.Module):  # type: ignore[name-defined]
        """Flattens in the order of Keras: rows, columns, channels."""

        def forward(self, x: Any) -> Any:
            return x.permute(0, 2, 3, 1).flatten(1)

    net = nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        Flatten(),
        nn.Dropout(0.5 if dropout else 0.0),
        nn.Linear(1600, 10),
    )
    slots = torch_twin.conv(net[0]) + torch_twin.conv(net[3]) + torch_twin.dense(net[8])
    return net, slots


MODEL = Model(
    name="cnn",
    title="28x28, conv 32, conv 64, dropout",
    rank=3,
    input_shape=(28, 28, 1),
    batch=128,
    steps=24,
    build=build,
    has_dropout=True,
    build_torch=build_torch,
)
