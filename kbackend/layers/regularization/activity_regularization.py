"""`ActivityRegularization`."""

from __future__ import annotations

from typing import Any

from kbackend import regularizers
from kbackend.layers.layer import Layer


class ActivityRegularization(Layer):
    """Hands its inputs through, and adds a penalty on their size to the losses.

    Args:
        l1: factor of the sum of absolute values.
        l2: factor of the sum of squares.

    Example:
        >>> import numpy as np
        >>> layer = ActivityRegularization(l1=0.5)
        >>> layer(np.array([[1.0, -2.0]])).tolist(), float(layer.losses[0])
        ([[1.0, -2.0]], 1.5)
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.supports_masking = True
        self.l1 = l1
        self.l2 = l2
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["activity_regularizer"]
        return {**config, "l1": self.l1, "l2": self.l2}
