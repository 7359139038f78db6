"""The layers that are measured alone; a new one is a new row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class LayerCase:
    """A layer on one input.

    Attributes:
        name: the layer's class, unless there is more to say.
        shape: shape of the input, batch first.
        make: `keras -> layer`.
        tokens: the input holds whole numbers below this; 0 for normally distributed floats.
        twice: the layer is given its input twice (query and value).
        quick: whether it is part of a `--quick` run.
    """

    name: str
    shape: tuple[int, ...]
    make: Callable[[Any], Any]
    tokens: int = 0
    twice: bool = False
    quick: bool = False

    def data(self) -> np.ndarray:
        """The input: float32, or int32 for tokens."""
        rng = np.random.default_rng(0)
        if self.tokens:
            return rng.integers(0, self.tokens, self.shape).astype("int32")
        return rng.standard_normal(self.shape, dtype="float32")


CASES = (
    LayerCase("Dense", (128, 512), lambda k: k.layers.Dense(512, activation="relu"), quick=True),
    LayerCase("Conv2D", (64, 32, 32, 32), lambda k: k.layers.Conv2D(32, 3, padding="same")),
    LayerCase(
        "Conv2D stride 2",
        (64, 32, 32, 32),
        lambda k: k.layers.Conv2D(64, 3, strides=2, padding="same"),
    ),
    LayerCase(
        "DepthwiseConv2D", (64, 32, 32, 32), lambda k: k.layers.DepthwiseConv2D(3, padding="same")
    ),
    LayerCase("MaxPooling2D", (64, 32, 32, 32), lambda k: k.layers.MaxPooling2D()),
    LayerCase("BatchNormalization", (64, 32, 32, 32), lambda k: k.layers.BatchNormalization()),
    LayerCase(
        "LayerNormalization",
        (64, 64, 64),
        lambda k: k.layers.LayerNormalization(),
        quick=True,
    ),
    LayerCase("LSTM", (64, 64, 32), lambda k: k.layers.LSTM(128)),
    LayerCase("GRU", (64, 64, 32), lambda k: k.layers.GRU(128)),
    LayerCase(
        "MultiHeadAttention",
        (64, 64, 64),
        lambda k: k.layers.MultiHeadAttention(4, 16),
        twice=True,
    ),
    LayerCase(
        "Embedding", (64, 128), lambda k: k.layers.Embedding(10_000, 64), tokens=10_000, quick=True
    ),
    LayerCase("Dropout", (128, 4096), lambda k: k.layers.Dropout(0.2)),
)
