"""`Dropout`."""

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
        self.noise_shape = checked_noise_shape(type(self).__name__, noise_shape)
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


def checked_noise_shape(layer: str, noise_shape: Any) -> Any:
    """`noise_shape` as it is.

    Raises:
        ValueError: it is not a tuple of positive integers and `None`.
    """
    if noise_shape is None:
        return None
    dims = noise_shape if isinstance(noise_shape, (list, tuple)) else (0,)
    if any(
        d is not None and (not isinstance(d, int) or isinstance(d, bool) or d <= 0) for d in dims
    ):
        raise ValueError(
            f"[{layer}] 'noise_shape' must be a tuple of positive integers and None. Received: "
            f"noise_shape={noise_shape!r}."
        )
    return noise_shape
