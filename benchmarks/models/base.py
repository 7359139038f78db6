"""What a model says of itself."""

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
        build: `(keras, dropout) -> model`; the last layer is a softmax over `classes`, unless
            `loss` is "mse". With `dropout=False` all dropout rates are 0, so that losses can be
            compared.
        has_dropout: whether `build` makes any difference between the two.
        build_torch: `(torch, dropout) -> (module, slots)`: a module that gives logits, and where
            the weights of the Keras model go, in the order of its `weights` (see `torch_twin`).
        classes: number of classes.
        label_shape: shape of one sample's labels, if it has more than one.
        vocabulary: number of words, if samples are texts: integers, and zeros behind the end.
        loss: the loss by its name in Keras; with "mse" samples are their own targets.
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
    label_shape: tuple[int, ...] = ()
    vocabulary: int = 0
    loss: str = "sparse_categorical_crossentropy"

    def data(self, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples and labels for a number of steps, the same for every peer.

        Args:
            steps: number of batches.
            seed: seed of the values.

        Returns:
            Samples `(steps * batch, *input_shape)`, float32 or int32, and int32 labels or the
            samples again.
        """
        rng = np.random.default_rng(seed)
        samples = steps * self.batch
        if self.vocabulary:
            x = rng.integers(1, self.vocabulary, (samples, *self.input_shape)).astype("int32")
            lengths = rng.integers(1, self.input_shape[-1] + 1, (samples, 1))
            x[np.arange(self.input_shape[-1]) >= lengths] = 0
        else:
            x = rng.standard_normal((samples, *self.input_shape), dtype="float32")
        if self.loss == "mse":
            return x, x
        return x, rng.integers(0, self.classes, (samples, *self.label_shape)).astype("int32")


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
