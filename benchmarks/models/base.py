"""What a model of the macro group says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Model:
    """A model, its data and, if there is one, its twin in bare PyTorch.

    Attributes:
        name: unique name, as in `--models name`.
        title: what it is, in a few words.
        rank: place in tables.
        input_shape: shape of one sample, channels last.
        batch: samples in a step.
        steps: steps in one timed epoch.
        build: `(keras, dropout) -> model`; the last layer is a softmax over `classes`. With
            `dropout=False` all dropout rates are 0, so that losses can be compared.
        has_dropout: whether `build` makes any difference between the two.
        build_torch: `(torch, dropout) -> (module, slots)`: a module that gives logits, and where
            the weights of the Keras model go, in the order of its `weights` (see `torch_twin`).
        classes: number of classes.
    """

    name: str
    title: str
    rank: int
    input_shape: tuple[int, ...]
    batch: int
    steps: int
    build: Callable[[Any, bool], Any]
    has_dropout: bool = False
    build_torch: Callable[[Any, bool], Any] | None = None
    classes: int = 10

    def data(self, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples and labels for a number of steps, the same for every peer.

        Args:
            steps: number of batches.
            seed: seed of the values.

        Returns:
            float32 samples `(steps * batch, *input_shape)` and int32 labels.
        """
        rng = np.random.default_rng(seed)
        samples = steps * self.batch
        x = rng.standard_normal((samples, *self.input_shape), dtype="float32")
        return x, rng.integers(0, self.classes, samples).astype("int32")


def initial_weights(specs: list[tuple[str, tuple[int, ...]]], seed: int) -> list[np.ndarray]:
    """Weights that depend on nothing but their names, shapes, order and the seed.

    Args:
        specs: name (`kernel`, `bias`, `gamma`, …) and shape of each weight, in the order of the
            model's `weights`.
        seed: seed of the values.

    Returns:
        float32 arrays: matrices with the variance that keeps activations at one scale, scales and
        variances near 1, the rest near 0 (not at it, so that a forgotten bias is noticed).
    """
    rng = np.random.default_rng(seed)
    weights = []
    for name, shape in specs:
        value: np.ndarray = rng.standard_normal(shape, dtype="float32")
        if name in ("gamma", "moving_variance"):
            value = 1 + 0.02 * np.abs(value)
        elif len(shape) == 1 or name in ("bias", "beta", "moving_mean"):
            value = 0.02 * value
        else:
            value = value / np.sqrt(np.prod(shape[:-1]), dtype="float32")
        weights.append(value.astype("float32"))
    return weights
