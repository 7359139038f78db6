"""An LSTM that reads a sequence."""

from __future__ import annotations

from typing import Any

from . import torch_twin
from .base import Model


def build(keras: Any, dropout: bool) -> Any:
    """64 steps of 32 features, 128 units."""
    layers = keras.layers
    return keras.Sequential(
        [layers.Input((64, 32)), layers.LSTM(128), layers.Dense(10, activation="softmax")]
    )


def build_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn

    class Net(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(32, 128, batch_first=True)
            self.dense = nn.Linear(128, 10)

        def forward(self, x: Any) -> Any:
            return self.dense(self.lstm(x)[0][:, -1])

    net = Net()
    return net, torch_twin.lstm(net.lstm) + torch_twin.dense(net.dense)


MODEL = Model(
    name="lstm",
    title="64 steps x 32, 128 units",
    rank=4,
    input_shape=(64, 32),
    batch=64,
    steps=40,
    build=build,
    build_torch=build_torch,
)
