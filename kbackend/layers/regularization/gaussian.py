"""`GaussianNoise` and `GaussianDropout`."""

from __future__ import annotations

import math
from typing import Any

from kbackend import ops, random
from kbackend.layers.arguments import probability
from kbackend.layers.layer import Layer
from kbackend.state.seed import SeedGenerator


class GaussianNoise(Layer):
    """While training: adds normally distributed noise.

    Args:
        stddev: standard deviation of the noise, in [0, 1].
        seed: integer, for reproducible noise.

    Raises:
        ValueError: `stddev` is not such a number.

    Example:
        >>> import numpy as np
        >>> GaussianNoise(0.1)(np.ones((1, 2))).tolist()
        [[1.0, 1.0]]
    """

    def __init__(self, stddev: float, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stddev = probability("GaussianNoise", "stddev", stddev)
        self.seed = seed
        if stddev > 0:
            self.seed_generator = SeedGenerator(seed)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The inputs, with noise while training."""
        if not training or self.stddev == 0:
            return inputs
        noise = random.normal(
            inputs.shape, 0.0, self.stddev, dtype=inputs.dtype, seed=self.seed_generator
        )
        return ops.add(inputs, noise)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


class GaussianDropout(Layer):
    """While training: multiplies by normally distributed noise around 1.

    Args:
        rate: the noise's standard deviation is `sqrt(rate / (1 - rate))`, which is that of dropout
            with this rate.
        seed: integer, for reproducible noise.

    Raises:
        ValueError: `rate` is not in [0, 1).

    Example:
        >>> import numpy as np
        >>> GaussianDropout(0.1)(np.ones((1, 2))).tolist()
        [[1.0, 1.0]]

    Reference:
        N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
        JMLR 2014.
    """

    def __init__(self, rate: float, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = probability("GaussianDropout", "rate", rate)
        if rate == 1:
            raise ValueError(
                "[GaussianDropout] 'rate' must be below 1: the noise would be infinite. Received: "
                f"rate={rate}."
            )
        self.seed = seed
        if rate > 0:
            self.seed_generator = SeedGenerator(seed)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The inputs, with noise while training."""
        if not training or self.rate == 0:
            return inputs
        stddev = math.sqrt(self.rate / (1.0 - self.rate))
        noise = random.normal(
            inputs.shape, 1.0, stddev, dtype=inputs.dtype, seed=self.seed_generator
        )
        return ops.multiply(inputs, noise)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
