"""A multi-layer perceptron with dropout."""

from __future__ import annotations

from typing import Any

from . import torch_twin
from .base import Model


def build(keras: Any, dropout: bool) -> Any:
    """784-512-512-10."""
    layers = keras.layers
    rate = 0.2 if dropout else 0.0
    return keras.Sequential(
        [
            layers.Input((784,)),
            layers.Dense(512, activation="relu"),
            layers.Dropout(rate),
            layers.Dense(512, activation="relu"),
            layers.Dropout(rate),
            layers.Dense(10, activation="softmax"),
        ]
    )


def build_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn
    rate = 0.2 if dropout else 0.0
    net = nn.Sequential(
        nn.Linear(784, 512),
        nn.ReLU(),
        nn.Dropout(rate),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.Dropout(rate),
        nn.Linear(512, 10),
    )
    return net, [slot for at in (0, 3, 6) for slot in torch_twin.dense(net[at])]


MODEL = Model(
    name="mlp",
    title="784-512-512-10, dropout",
    rank=2,
    input_shape=(784,),
    batch=128,
    steps=200,
    build=build,
    has_dropout=True,
    build_torch=build_torch,
)
