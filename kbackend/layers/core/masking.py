"""`Masking`."""

from __future__ import annotations

from typing import Any

from kbackend import ops
from kbackend.base import serialization
from kbackend.layers.layer import Layer


class Masking(Layer):
    """Marks the time steps in which all features equal a value, so that later layers skip them.

    Args:
        mask_value: the value that marks a step as missing.

    Example:
        >>> import numpy as np
        >>> y = Masking()(np.array([[[0.0, 0.0], [1.0, 0.0]]]))
        >>> y._keras_mask.tolist()
        [[False, True]]
    """

    def __init__(self, mask_value: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # A layer's config may hold an array in its stored form.
        if isinstance(mask_value, dict) and "class_name" in mask_value:
            mask_value = serialization.deserialize(mask_value)
        self.mask_value = mask_value
        self.supports_masking = True
        self.built = True

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Where a step has a feature that differs from the value."""
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Any) -> Any:
        """The inputs, with zeros in the steps that are missing."""
        kept = ops.any(ops.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        return ops.multiply(inputs, ops.cast(kept, inputs.dtype))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "mask_value": self.mask_value}
