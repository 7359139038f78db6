"""Gated causal convolutions with growing dilation, over a series."""

from __future__ import annotations

from typing import Any

from .. import torch_twin
from ..base import Model

CHANNELS = 32
DILATIONS = (1, 2, 4, 8, 16, 32, 64, 128)


def build(keras: Any, dropout: bool) -> Any:
    """256 steps, eight gated layers with sums around them."""
    layers = keras.layers
    inputs = layers.Input((256, 1))
    x = layers.Conv1D(CHANNELS, 2, padding="causal")(inputs)
    for dilation in DILATIONS:
        value, gate = (
            layers.Conv1D(
                CHANNELS, 2, padding="causal", dilation_rate=dilation, activation=activation
            )(x)
            for activation in ("tanh", "sigmoid")
        )
        x = layers.add([x, layers.Conv1D(CHANNELS, 1)(layers.multiply([value, gate]))])
    x = layers.GlobalAveragePooling1D()(layers.Activation("relu")(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def build_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn

    class Layer(nn.Module):  # type: ignore[name-defined]
        def __init__(self, dilation: int) -> None:
            super().__init__()
            self.dilation = dilation
            self.value = nn.Conv1d(CHANNELS, CHANNELS, 2, dilation=dilation)
            self.gate = nn.Conv1d(CHANNELS, CHANNELS, 2, dilation=dilation)
            self.mix = nn.Conv1d(CHANNELS, CHANNELS, 1)

        def forward(self, x: Any) -> Any:
            padded = nn.functional.pad(x, (self.dilation, 0))
            return x + self.mix(torch.tanh(self.value(padded)) * torch.sigmoid(self.gate(padded)))

    class Net(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv1d(1, CHANNELS, 2)
            self.layers = nn.Sequential(*(Layer(dilation) for dilation in DILATIONS))
            self.head = nn.Linear(CHANNELS, 10)

        def forward(self, x: Any) -> Any:
            x = self.first(nn.functional.pad(x.transpose(1, 2), (1, 0)))
            return self.head(torch.relu(self.layers(x)).mean(2))

    net = Net()
    slots = torch_twin.conv(net.first)
    for layer in net.layers:
        for part in (layer.value, layer.gate, layer.mix):
            slots += torch_twin.conv(part)
    return net, slots + torch_twin.dense(net.head)


MODELS = (
    Model(
        name="waves",
        title="256 steps, 8 gated dilated causal layers of 32",
        rank=3,
        input_shape=(256, 1),
        batch=16,
        steps=8,
        build=build,
        build_torch=build_torch,
    ),
)
