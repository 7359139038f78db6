"""`Activation`."""

from __future__ import annotations

from typing import Any

from kbackend import activations
from kbackend.layers.layer import Layer


class Activation(Layer):
    """An activation function as a layer.

    Args:
        activation: function of a tensor, or the name of one of `kbackend.activations`.

    Example:
        >>> import numpy as np
        >>> Activation("relu")(np.array([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The function's result."""
        return self.activation(inputs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "activation": activations.serialize(self.activation)}
