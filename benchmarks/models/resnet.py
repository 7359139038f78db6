"""A small residual network."""

from __future__ import annotations

from typing import Any

from . import torch_twin
from .base import Model

# Filters and stride of each residual block.
BLOCKS = ((32, 1), (64, 2), (128, 2))


def build(keras: Any, dropout: bool) -> Any:
    """Three residual blocks on 32x32 images."""
    layers = keras.layers

    def conv(x: Any, filters: int, size: int, stride: int = 1) -> Any:
        return layers.Conv2D(filters, size, strides=stride, padding="same", use_bias=False)(x)

    def norm_relu(x: Any) -> Any:
        return layers.Activation("relu")(layers.BatchNormalization()(x))

    inputs = layers.Input((32, 32, 3))
    x = norm_relu(conv(inputs, 32, 3))
    for filters, stride in BLOCKS:
        shortcut = conv(x, filters, 1, stride)
        y = norm_relu(conv(x, filters, 3, stride))
        y = layers.BatchNormalization()(conv(y, filters, 3))
        x = layers.Activation("relu")(layers.add([shortcut, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def build_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn

    def norm(channels: int) -> Any:
        return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)

    class Block(nn.Module):  # type: ignore[name-defined]
        def __init__(self, inside: int, filters: int, stride: int) -> None:
            super().__init__()
            self.stride = stride
            self.shortcut = nn.Conv2d(inside, filters, 1, stride, bias=False)
            self.first = nn.Conv2d(inside, filters, 3, stride, int(stride == 1), bias=False)
            self.norm1 = norm(filters)
            self.second = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
            self.norm2 = norm(filters)

        def forward(self, x: Any) -> Any:
            # With stride 2, the padding "same" of Keras is one row and column at the far end.
            padded = x if self.stride == 1 else nn.functional.pad(x, (0, 1, 0, 1))
            y = torch.relu(self.norm1(self.first(padded)))
            return torch.relu(self.shortcut(x) + self.norm2(self.second(y)))

    net = nn.Sequential(nn.Conv2d(3, 32, 3, 1, 1, bias=False), norm(32), nn.ReLU())
    slots = torch_twin.conv(net[0]) + torch_twin.batch_norm(net[1])
    inside = 32
    for filters, stride in BLOCKS:
        block = Block(inside, filters, stride)
        net.append(block)
        # The order of Keras: by depth in the graph, so the shortcut comes late.
        slots += torch_twin.conv(block.first) + torch_twin.batch_norm(block.norm1)
        slots += torch_twin.conv(block.second) + torch_twin.conv(block.shortcut)
        slots += torch_twin.batch_norm(block.norm2)
        inside = filters
    head = nn.Linear(inside, 10)
    net.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), head])
    return net, slots + torch_twin.dense(head)


MODEL = Model(
    name="resnet",
    title="32x32, 3 residual blocks",
    rank=5,
    input_shape=(32, 32, 3),
    batch=64,
    steps=12,
    build=build,
    build_torch=build_torch,
)
