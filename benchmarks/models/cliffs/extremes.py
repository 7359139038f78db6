"""Multi-layer perceptrons of extreme shapes, and batches of extreme sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .. import cnn, mlp, torch_twin
from ..base import Model

DEPTH, NARROW, WIDE = 50, 32, 4096


def _build(keras: Any, inside: int, widths: tuple[int, ...], activation: str) -> Any:
    layers = keras.layers
    hidden = [layers.Dense(width, activation=activation) for width in widths]
    head = layers.Dense(10, activation="softmax")
    return keras.Sequential([layers.Input((inside,)), *hidden, head])


def _build_torch(torch: Any, inside: int, widths: tuple[int, ...], activation: str) -> Any:
    nn = torch.nn
    parts: list[Any] = []
    for before, width in zip((inside, *widths), (*widths, 10), strict=True):
        parts += [nn.Linear(before, width), {"tanh": nn.Tanh, "relu": nn.ReLU}[activation]()]
    net = nn.Sequential(*parts[:-1])
    return net, [slot for layer in net[::2] for slot in torch_twin.dense(layer)]


def build_deep(keras: Any, dropout: bool) -> Any:
    """50 hidden layers of 32."""
    # After so many layers of relu nothing would be left of the input.
    return _build(keras, NARROW, (NARROW,) * DEPTH, "tanh")


def build_deep_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    return _build_torch(torch, NARROW, (NARROW,) * DEPTH, "tanh")


def build_wide(keras: Any, dropout: bool) -> Any:
    """256-4096-4096-10."""
    return _build(keras, 256, (WIDE, WIDE), "relu")


def build_wide_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    return _build_torch(torch, 256, (WIDE, WIDE), "relu")


def _batch(model: Model, batch: int, rank: int, steps: int) -> Model:
    title = f"{model.title}, batches of {batch:,}"
    return replace(
        model, name=f"{model.name}-{batch}", title=title, rank=rank, batch=batch, steps=steps
    )


MODELS = (
    Model(
        name="deep",
        title="50 layers of 32",
        rank=9,
        input_shape=(NARROW,),
        batch=128,
        steps=20,
        build=build_deep,
        build_torch=build_deep_torch,
    ),
    Model(
        name="wide",
        title="256-4096-4096-10",
        rank=10,
        input_shape=(256,),
        batch=128,
        steps=4,
        build=build_wide,
        build_torch=build_wide_torch,
    ),
    _batch(mlp.MODEL, 1, 11, 100),
    _batch(mlp.MODEL, 4096, 12, 4),
    _batch(cnn.MODEL, 1, 13, 50),
)
