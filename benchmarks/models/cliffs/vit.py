"""A vision transformer: patches of an image as tokens."""

from __future__ import annotations

from typing import Any

from .. import torch_twin
from ..base import Model

BLOCKS, WIDTH, HEADS = 3, 64, 4


def build(keras: Any, dropout: bool) -> Any:
    """64 patches of 4x4, blocks normalised before each part."""
    layers = keras.layers
    inputs = layers.Input((32, 32, 3))
    x = layers.Reshape((64, WIDTH))(layers.Conv2D(WIDTH, 4, strides=4)(inputs))
    for _ in range(BLOCKS):
        y = layers.LayerNormalization(epsilon=1e-3)(x)
        x = layers.add([x, layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y)])
        y = layers.LayerNormalization(epsilon=1e-3)(x)
        y = layers.Dense(4 * WIDTH, activation="gelu")(y)
        x = layers.add([x, layers.Dense(WIDTH)(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-3)(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def build_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn

    class Net(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, WIDTH, 4, 4)
            self.blocks = nn.ModuleList(
                nn.TransformerEncoderLayer(
                    WIDTH,
                    HEADS,
                    4 * WIDTH,
                    0.0,
                    "gelu",
                    layer_norm_eps=1e-3,
                    batch_first=True,
                    norm_first=True,
                )
                for _ in range(BLOCKS)
            )
            self.norm = nn.LayerNorm(WIDTH, eps=1e-3)
            self.head = nn.Linear(WIDTH, 10)

        def forward(self, x: Any) -> Any:
            x = self.patches(x).flatten(2).transpose(1, 2)
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x).mean(1))

    net = Net()
    slots = torch_twin.conv(net.patches)
    for block in net.blocks:
        slots += torch_twin.layer_norm(block.norm1) + torch_twin.attention(block.self_attn)
        slots += torch_twin.layer_norm(block.norm2) + torch_twin.dense(block.linear1)
        slots += torch_twin.dense(block.linear2)
    return net, slots + torch_twin.layer_norm(net.norm) + torch_twin.dense(net.head)


MODELS = (
    Model(
        name="vit",
        title="64 patches x 64, 3 blocks",
        rank=8,
        input_shape=(32, 32, 3),
        batch=32,
        steps=8,
        build=build,
        build_torch=build_torch,
    ),
)
