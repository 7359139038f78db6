"""Multi-layer perceptrons of extreme shapes, and batches of extreme sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .. import cnn, mlp, torch_twin
from ..base import Model

DEPTH, NARROW, WIDE = 50, 32, 4096


def _build_torch(torch: Any, widths: tuple[int, ...], activation: Any) -> Any:
    parts: list[Any] = []
    for before, width in zip(widths[:-1], widths[1:], strict=True):
        parts += [torch.nn.Linear(before, width), activation]
    net = torch.nn.Sequential(*parts[:-1])
    return net, [slot for layer in net[::2] for slot in torch_twin.dense(layer)]


def build_deep(keras: Any, dropout: bool) -> Any:
    """50 hidden layers of 32."""
    layers = keras.layers
    # After so many layers of relu nothing would be left of the input.
    hidden = [layers.Dense(NARROW, activation="tanh") for _ in range(DEPTH)]
    head = layers.Dense(10, activation="softmax")
    return keras.Sequential([layers.Input((NARROW,)), *hidden, head])


def build_deep_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    return _build_torch(torch, (NARROW,) * (DEPTH + 1) + (10,), torch.nn.Tanh())


def build_wide(keras: Any, dropout: bool) -> Any:
    """256-4096-4096-256."""
    layers = keras.layers
    # Steps this large make a classifier so sure of itself that Keras limits its loss, as PyTorch
    # doesn't; a mean square has no limits.
    hidden = [layers.Dense(WIDE, activation="relu") for _ in range(2)]
    return keras.Sequential([layers.Input((256,)), *hidden, layers.Dense(256)])


def build_wide_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    return _build_torch(torch, (256, WIDE, WIDE, 256), torch.nn.ReLU())


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
        title="256-4096-4096-256",
        rank=10,
        input_shape=(256,),
        batch=128,
        steps=4,
        build=build_wide,
        build_torch=build_wide_torch,
        loss="mse",
    ),
    _batch(mlp.MODEL, 1, 11, 100),
    _batch(mlp.MODEL, 4096, 12, 4),
    _batch(cnn.MODEL, 1, 13, 50),
)
