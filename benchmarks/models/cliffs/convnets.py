"""Convolutional networks with odd numbers of channels, and with other normalisations and groups."""

from __future__ import annotations

from typing import Any

from .. import torch_twin
from ..base import Model

ODD = (17, 33, 3)
GROUPS = 8


def build_odd(keras: Any, dropout: bool) -> Any:
    """Channels 3-17-33-3, none of which fills vectors."""
    layers = keras.layers
    convs = [layers.Conv2D(filters, 3, padding="same", activation="relu") for filters in ODD]
    return keras.Sequential(
        [
            layers.Input((32, 32, 3)),
            *(convs[0], layers.MaxPooling2D(), convs[1], convs[2], layers.Flatten()),
            layers.Dense(10, activation="softmax"),
        ]
    )


def build_odd_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn
    convs = [
        nn.Conv2d(before, filters, 3, 1, 1)
        for before, filters in zip((3, *ODD[:-1]), ODD, strict=True)
    ]

    class Net(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList(convs)
            self.head = nn.Linear(256 * ODD[-1], 10)

        def forward(self, x: Any) -> Any:
            x = nn.functional.max_pool2d(torch.relu(self.convs[0](x)), 2)
            x = torch.relu(self.convs[2](torch.relu(self.convs[1](x))))
            # The order of Keras: rows, columns, channels.
            return self.head(x.permute(0, 2, 3, 1).flatten(1))

    net = Net()
    slots = [slot for conv in convs for slot in torch_twin.conv(conv)]
    return net, slots + torch_twin.dense(net.head)


def build_norms(keras: Any, dropout: bool) -> Any:
    """Group normalisation, and the layer normalisation of each position."""
    layers = keras.layers
    inputs = layers.Input((32, 32, 3))
    x = layers.Conv2D(32, 3, padding="same")(inputs)
    x = layers.Activation("relu")(layers.GroupNormalization(GROUPS, epsilon=1e-3)(x))
    x = layers.Conv2D(64, 2, strides=2)(x)
    x = layers.LayerNormalization(epsilon=1e-3)(x)
    x = layers.Activation("gelu")(layers.Conv2D(64, 1)(x))
    x = layers.Conv2D(64, 3, padding="same")(x)
    x = layers.Activation("relu")(layers.GroupNormalization(GROUPS, epsilon=1e-3)(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def build_norms_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn

    class Positions(nn.LayerNorm):  # type: ignore[name-defined]
        """Normalises the channels of each position."""

        def forward(self, x: Any) -> Any:
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    net = nn.Sequential(
        *(nn.Conv2d(3, 32, 3, 1, 1), nn.GroupNorm(GROUPS, 32, eps=1e-3), nn.ReLU()),
        *(nn.Conv2d(32, 64, 2, 2), Positions(64, eps=1e-3), nn.Conv2d(64, 64, 1), nn.GELU()),
        *(nn.Conv2d(64, 64, 3, 1, 1), nn.GroupNorm(GROUPS, 64, eps=1e-3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    )
    slots = []
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            slots += torch_twin.conv(layer)
        elif isinstance(layer, nn.GroupNorm | nn.LayerNorm):
            slots += torch_twin.layer_norm(layer)
    return net, slots + torch_twin.dense(net[-1])


def build_grouped(keras: Any, dropout: bool) -> Any:
    """Two residual blocks whose 3x3 convolutions have 32 groups."""
    layers = keras.layers
    inputs = layers.Input((32, 32, 3))
    x = layers.Conv2D(64, 2, strides=2, activation="relu")(inputs)
    for _ in range(2):
        y = layers.Conv2D(128, 1, activation="relu")(x)
        y = layers.Conv2D(128, 3, padding="same", groups=32, activation="relu")(y)
        x = layers.Activation("relu")(layers.add([x, layers.Conv2D(64, 1)(y)]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def build_grouped_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn

    class Block(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.Sequential(
                *(nn.Conv2d(64, 128, 1), nn.ReLU()),
                *(nn.Conv2d(128, 128, 3, 1, 1, groups=32), nn.ReLU()),
                nn.Conv2d(128, 64, 1),
            )

        def forward(self, x: Any) -> Any:
            return torch.relu(x + self.parts(x))

    blocks = (Block(), Block())
    net = nn.Sequential(
        *(nn.Conv2d(3, 64, 2, 2), nn.ReLU(), *blocks),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    )
    slots = torch_twin.conv(net[0])
    for block in blocks:
        slots += [slot for conv in block.parts[::2] for slot in torch_twin.conv(conv)]
    return net, slots + torch_twin.dense(net[-1])


MODELS = (
    Model(
        name="odd",
        title="32x32, channels 3-17-33-3",
        rank=14,
        input_shape=(32, 32, 3),
        batch=64,
        steps=8,
        build=build_odd,
        build_torch=build_odd_torch,
    ),
    Model(
        name="grouped",
        title="32x32, two blocks of 32 groups",
        rank=15,
        input_shape=(32, 32, 3),
        # More would take minutes on XLA.
        batch=4,
        steps=4,
        build=build_grouped,
        build_torch=build_grouped_torch,
    ),
    Model(
        name="norms",
        title="32x32, group and layer normalisation",
        rank=16,
        input_shape=(32, 32, 3),
        batch=32,
        steps=6,
        build=build_norms,
        build_torch=build_norms_torch,
    ),
)
