"""A U-Net: a class for each position, by way of coarser images and back."""

from __future__ import annotations

from typing import Any

from .. import torch_twin
from ..base import Model

FILTERS = (16, 32, 64)
CLASSES = 4


def build(keras: Any, dropout: bool) -> Any:
    """64x64 images, two levels down and up again by transposed convolutions."""
    layers = keras.layers

    def pair(x: Any, filters: int) -> Any:
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        return x

    inputs = layers.Input((64, 64, 3))
    x, kept = pair(inputs, FILTERS[0]), []
    for filters in FILTERS[1:]:
        kept.append(x)
        x = pair(layers.MaxPooling2D()(x), filters)
    for filters, finer in zip(FILTERS[-2::-1], reversed(kept), strict=True):
        x = layers.Conv2DTranspose(filters, 2, strides=2, padding="same")(x)
        x = pair(layers.concatenate([finer, x]), filters)
    return keras.Model(inputs, layers.Conv2D(CLASSES, 1, activation="softmax")(x))


def build_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn

    def pair(inside: int, filters: int) -> Any:
        first, second = nn.Conv2d(inside, filters, 3, 1, 1), nn.Conv2d(filters, filters, 3, 1, 1)
        return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())

    class Net(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            sizes = (3, *FILTERS)
            self.down = nn.ModuleList(map(pair, sizes[:-1], sizes[1:]))
            self.wider = nn.ModuleList(
                nn.ConvTranspose2d(2 * filters, filters, 2, 2) for filters in FILTERS[-2::-1]
            )
            self.up = nn.ModuleList(pair(2 * filters, filters) for filters in FILTERS[-2::-1])
            self.head = nn.Conv2d(FILTERS[0], CLASSES, 1)

        def forward(self, x: Any) -> Any:
            kept = []
            for level in self.down[:-1]:
                kept.append(level(x))
                x = nn.functional.max_pool2d(kept[-1], 2)
                x = x.contiguous(memory_format=torch.channels_last)
            x = self.down[-1](x)
            for wider, level in zip(self.wider, self.up, strict=True):
                x = level(torch.cat([kept.pop(), wider(x)], 1))
            return self.head(x)

    net = Net()
    slots = []
    for level in net.down:
        slots += torch_twin.conv(level[0]) + torch_twin.conv(level[2])
    for wider, level in zip(net.wider, net.up, strict=True):
        slots += torch_twin.conv_transpose(wider)
        slots += torch_twin.conv(level[0]) + torch_twin.conv(level[2])
    return net, slots + torch_twin.conv(net.head)


MODELS = (
    Model(
        name="unet",
        title="64x64, 16-32-64 and back, 4 classes",
        rank=5,
        input_shape=(64, 64, 3),
        batch=8,
        steps=6,
        build=build,
        build_torch=build_torch,
        classes=CLASSES,
        label_shape=(64, 64),
    ),
)
