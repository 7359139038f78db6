"""`Wrapper`: base of layers around a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kbackend.base import serialization
from kbackend.layers.layer import Layer


class Wrapper(Layer):
    """Base of layers that change what another layer does. A subclass implements `call`.

    Args:
        layer: the layer inside.

    Raises:
        ValueError: `layer` is not a layer.

    Example:
        >>> import numpy as np
        >>> from kbackend import layers
        >>> class Twice(Wrapper):
        ...     def call(self, inputs):
        ...         return self.layer(self.layer(inputs))
        >>> Twice(layers.LeakyReLU(0.5))(np.array([-4.0])).tolist()
        [-1.0]
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        if not isinstance(layer, Layer):
            raise ValueError(
                f"[{type(self).__name__}] 'layer' must be a Layer. Received: layer={layer!r} of "
                f"type {type(layer).__name__}."
            )
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Any = None) -> None:
        """Builds the layer inside."""
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "layer": serialization.serialize(self.layer)}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Any:
        """A layer from `get_config`'s answer."""
        config = dict(config)
        layer = serialization.deserialize(config.pop("layer"), custom_objects)
        return cls(layer, **config)
