"""A small Transformer encoder."""

from __future__ import annotations

from typing import Any

from . import torch_twin
from .base import Model

BLOCKS = 2


def build(keras: Any, dropout: bool) -> Any:
    """Two encoder blocks on 64 tokens of width 64, normalised after each sum."""
    layers = keras.layers
    inputs = x = layers.Input((64, 64))
    for _ in range(BLOCKS):
        attended = layers.MultiHeadAttention(4, 16)(x, x)
        x = layers.LayerNormalization(epsilon=1e-3)(layers.add([x, attended]))
        wide = layers.Dense(256, activation="gelu")(x)
        x = layers.LayerNormalization(epsilon=1e-3)(layers.add([x, layers.Dense(64)(wide)]))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def build_torch(torch: Any, dropout: bool) -> Any:
    """The twin in PyTorch."""
    nn = torch.nn

    class Net(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(
                nn.TransformerEncoderLayer(
                    64, 4, 256, 0.0, "gelu", layer_norm_eps=1e-3, batch_first=True
                )
                for _ in range(BLOCKS)
            )
            self.head = nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            for block in self.blocks:
                x = block(x)
            return self.head(x.mean(1))

    net = Net()
    slots = []
    for block in net.blocks:
        slots += torch_twin.attention(block.self_attn) + torch_twin.layer_norm(block.norm1)
        slots += torch_twin.dense(block.linear1) + torch_twin.dense(block.linear2)
        slots += torch_twin.layer_norm(block.norm2)
    return net, slots + torch_twin.dense(net.head)


MODEL = Model(
    name="transformer",
    title="64 tokens x 64, 2 blocks",
    rank=6,
    input_shape=(64, 64),
    batch=64,
    steps=40,
    build=build,
    build_torch=build_torch,
)
