"""Recurrent networks: a GRU, and a classifier of texts of several lengths."""

from __future__ import annotations

from typing import Any

from .. import torch_twin
from ..base import Model


def build_gru(keras: Any, dropout: bool) -> Any:
    """64 steps of 32 features, 128 units."""
    layers = keras.layers
    return keras.Sequential(
        [layers.Input((64, 32)), layers.GRU(128), layers.Dense(10, activation="softmax")]
    )


def build_gru_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn

    class Net(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(32, 128, batch_first=True)
            self.dense = nn.Linear(128, 10)

        def forward(self, x: Any) -> Any:
            return self.dense(self.gru(x)[0][:, -1])

    net = Net()
    return net, torch_twin.gru(net.gru) + torch_twin.dense(net.dense)


def build_text(keras: Any, dropout: bool) -> Any:
    """Words, looked up and read from both ends; padding is masked."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((80,), dtype="int32"),
            layers.Embedding(5000, 64, mask_zero=True),
            layers.Bidirectional(layers.LSTM(64)),
            layers.Dense(10, activation="softmax"),
        ]
    )


MODELS = (
    Model(
        name="gru",
        title="64 steps x 32, 128 units",
        rank=1,
        input_shape=(64, 32),
        batch=64,
        steps=10,
        build=build_gru,
        build_torch=build_gru_torch,
    ),
    Model(
        name="text",
        title="80 of 5,000 words x 64, LSTM 64 from both ends, masked",
        rank=2,
        input_shape=(80,),
        batch=32,
        steps=10,
        build=build_text,
        vocabulary=5000,
    ),
)
