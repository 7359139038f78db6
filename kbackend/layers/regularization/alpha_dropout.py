"""`AlphaDropout`."""

from __future__ import annotations

from typing import Any

from kbackend import ops, random
from kbackend.layers.arguments import probability
from kbackend.layers.layer import Layer
from kbackend.layers.regularization.dropout import checked_noise_shape
from kbackend.state.seed import SeedGenerator

# What SELU tends to for large negative arguments: -scale * alpha.
_DROPPED = -1.7580993408473766


class AlphaDropout(Layer):
    """While training: sets elements to SELU's lower bound at random; mean and variance stay.

    Args:
        rate: probability of being dropped, in [0, 1).
        noise_shape: shape of the mask, which broadcasts to the inputs; `None` in it stands for the
            inputs' dimension.
        seed: integer, for reproducible masks.

    Raises:
        ValueError: `rate` is not such a number, or `noise_shape` is malformed.

    Example:
        >>> import numpy as np
        >>> AlphaDropout(0.1)(np.ones((1, 2))).tolist()
        [[1.0, 1.0]]

    Reference:
        G. Klambauer et al., "Self-normalizing neural networks", NIPS 2017.
    """

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rate = probability("AlphaDropout", "rate", rate)
        if rate == 1:
            raise ValueError(
                "[AlphaDropout] 'rate' must be below 1: no variance would be left to keep. "
                f"Received: rate={rate}."
            )
        self.noise_shape = checked_noise_shape("AlphaDropout", noise_shape)
        self.seed = seed
        if rate > 0:
            self.seed_generator = SeedGenerator(seed)
            self._gain = ((1 - rate) * (1 + rate * _DROPPED**2)) ** -0.5
            self._offset = -self._gain * _DROPPED * rate
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The inputs, with noise while training."""
        if not training or self.rate == 0:
            return inputs
        shape = inputs.shape
        if self.noise_shape is not None:
            shape = tuple(
                own if given is None else given
                for given, own in zip(self.noise_shape, shape, strict=True)
            )
        draw = random.uniform(shape, dtype="float32", seed=self.seed_generator)
        kept = ops.where(ops.greater_equal(draw, self.rate), inputs, _DROPPED)
        return ops.add(ops.multiply(kept, self._gain), self._offset)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
            "noise_shape": self.noise_shape,
        }
