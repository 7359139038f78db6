"""Autoencoders, dense and convolutional; the loss is the mean square."""

from __future__ import annotations

from typing import Any

from .. import torch_twin
from ..base import Model

WIDTHS = (256, 64, 256)


def build_dense(keras: Any, dropout: bool) -> Any:
    """784-256-64-256-784."""
    layers = keras.layers
    hidden = [layers.Dense(width, activation="relu") for width in WIDTHS]
    return keras.Sequential([layers.Input((784,)), *hidden, layers.Dense(784)])


def build_dense_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn
    parts: list[Any] = []
    for inside, width in zip((784, *WIDTHS), (*WIDTHS, 784), strict=True):
        parts += [nn.Linear(inside, width), nn.ReLU()]
    net = nn.Sequential(*parts[:-1])
    return net, [slot for layer in net[::2] for slot in torch_twin.dense(layer)]


def build_conv(keras: Any, dropout: bool) -> Any:
    """28x28 to 7x7 and back, by strides of 2."""
    layers = keras.layers

    def half(filters: int) -> Any:
        return layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")

    def double(filters: int) -> Any:
        return layers.Conv2DTranspose(filters, 2, strides=2, padding="same", activation="relu")

    return keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            *(half(32), half(64), double(32), double(16)),
            layers.Conv2D(1, 3, padding="same"),
        ]
    )


def build_conv_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn
    down = (nn.Conv2d(1, 32, 3, 2), nn.Conv2d(32, 64, 3, 2))
    up = (nn.ConvTranspose2d(64, 32, 2, 2), nn.ConvTranspose2d(32, 16, 2, 2))
    last = nn.Conv2d(16, 1, 3, 1, 1)
    # With stride 2, the padding "same" of Keras is one row and column at the far end.
    border = nn.ZeroPad2d((0, 1, 0, 1))
    parts: list[Any] = []
    for layer in down:
        parts += [border, layer, nn.ReLU()]
    for layer in up:
        parts += [layer, nn.ReLU()]
    slots = [slot for layer in down for slot in torch_twin.conv(layer)]
    slots += [slot for layer in up for slot in torch_twin.conv_transpose(layer)]
    return nn.Sequential(*parts, last), slots + torch_twin.conv(last)


MODELS = (
    Model(
        name="autoencoder",
        title="784-256-64-256-784",
        rank=6,
        input_shape=(784,),
        batch=128,
        steps=40,
        build=build_dense,
        build_torch=build_dense_torch,
        loss="mse",
    ),
    Model(
        name="conv-autoencoder",
        title="28x28 to 7x7x64 and back",
        rank=7,
        input_shape=(28, 28, 1),
        batch=64,
        steps=8,
        build=build_conv,
        build_torch=build_conv_torch,
        loss="mse",
    ),
)
