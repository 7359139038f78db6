"""A mobile network: depthwise convolutions, some with strides, each before one of 1x1."""

from __future__ import annotations

from typing import Any

from .. import torch_twin
from ..base import Model

# Filters and stride of each pair.
PAIRS = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1))


def build(keras: Any, dropout: bool) -> Any:
    """Five pairs on 64x64 images."""
    layers = keras.layers

    def norm_relu(x: Any) -> Any:
        return layers.Activation("relu")(layers.BatchNormalization()(x))

    inputs = layers.Input((64, 64, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = norm_relu(x)
    for filters, stride in PAIRS:
        x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(x)
        x = norm_relu(x)
        x = norm_relu(layers.Conv2D(filters, 1, use_bias=False)(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def build_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn

    def block(inside: int, filters: int, size: int, stride: int, groups: int = 1) -> Any:
        # With stride 2, the padding "same" of Keras is one row and column at the far end.
        border = (0, 1, 0, 1) if stride == 2 else (size // 2,) * 4
        return nn.Sequential(
            nn.ZeroPad2d(border),
            nn.Conv2d(inside, filters, size, stride, groups=groups, bias=False),
            nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01),
            nn.ReLU(),
        )

    blocks = [block(3, 16, 3, 2)]
    inside = 16
    for filters, stride in PAIRS:
        blocks += [block(inside, inside, 3, stride, inside), block(inside, filters, 1, 1)]
        inside = filters
    slots = []
    for _, conv, norm, _ in blocks:
        slots += torch_twin.depthwise(conv) if conv.groups > 1 else torch_twin.conv(conv)
        slots += torch_twin.batch_norm(norm)
    head = nn.Linear(inside, 10)
    net = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    return net, slots + torch_twin.dense(head)


MODELS = (
    Model(
        name="mobile",
        title="64x64, 5 pairs of depthwise and 1x1",
        rank=4,
        input_shape=(64, 64, 3),
        batch=16,
        steps=6,
        build=build,
        build_torch=build_torch,
    ),
)
