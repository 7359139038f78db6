"""A small multi-layer perceptron: the overhead of a step shows most here."""

from __future__ import annotations

from typing import Any

from . import torch_twin
from .base import Model


def build(keras: Any, dropout: bool) -> Any:
    """784-32-10."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((784,)),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def build_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn
    net = nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))
    return net, torch_twin.dense(net[0]) + torch_twin.dense(net[2])


MODEL = Model(
    name="small",
    title="784-32-10",
    rank=1,
    input_shape=(784,),
    batch=128,
    steps=200,
    build=build,
    build_torch=build_torch,
)
