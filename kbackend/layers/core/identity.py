"""`Identity`."""

from __future__ import annotations

from typing import Any

from kbackend.layers.layer import Layer


class Identity(Layer):
    """Hands its inputs, a tensor or a structure of tensors, through.

    Example:
        >>> import numpy as np
        >>> Identity()(np.array([1.0, 2.0])).tolist()
        [1.0, 2.0]
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments: those of every layer."""
        return super().get_config()
