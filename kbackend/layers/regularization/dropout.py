"""`Dropout` and `SpatialDropout1D`-`3D`."""

from __future__ import annotations

from typing import Any

from kbackend import random
from kbackend.layers.arguments import probability
from kbackend.layers.layer import Layer
from kbackend.state.seed import SeedGenerator


class Dropout(Layer):
    """While training: sets elements to zero at random, and scales up the others.

    Args:
        rate: probability of becoming zero, in [0, 1].
        noise_shape: shape of the mask, which broadcasts to the inputs; `None` in it stands for the
            inputs' dimension. `(None, 1, None)` drops the same features in all time steps.
        seed: integer, for reproducible masks.

    Example:
        >>> import numpy as np
        >>> layer = Dropout(0.5, seed=1)
        >>> layer(np.ones((2, 3))).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
        >>> sorted(set(layer(np.ones(100), training=True).tolist()))
        [0.0, 2.0]

    Reference:
        N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
        JMLR 2014.
    """

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rate = probability(type(self).__name__, "rate", rate)
        self.noise_shape = _checked_noise_shape(noise_shape)
        self.seed = seed
        if rate > 0:
            self.seed_generator = SeedGenerator(seed)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The inputs, with noise while training."""
        if not training or self.rate == 0:
            return inputs
        return random.dropout(inputs, self.rate, self.noise_shape, self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
            "noise_shape": self.noise_shape,
        }


def _checked_noise_shape(noise_shape: Any) -> Any:
    if noise_shape is None:
        return None
    if not isinstance(noise_shape, (list, tuple)):
        raise ValueError(
            "[Dropout] 'noise_shape' must be a tuple of integers and None. Received: "
            f"noise_shape={noise_shape!r}."
        )
    for dim in noise_shape:
        if dim is not None and (isinstance(dim, bool) or not isinstance(dim, int) or dim <= 0):
            raise ValueError(
                "[Dropout] the dimensions of 'noise_shape' must be positive integers or None. "
                f"Received: noise_shape={noise_shape}."
            )
    return noise_shape
