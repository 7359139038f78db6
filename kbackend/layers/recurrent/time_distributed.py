"""`TimeDistributed`: a layer at every time step."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.layers.recurrent.scan import at_step
from kbackend.layers.wrappers.wrapper import Wrapper
from kbackend.ops.keras_tensor import KerasTensor


class TimeDistributed(Wrapper):
    """Applies a layer to every time step of its inputs.

    Args:
        layer: the layer, for inputs without the time dimension.

    Call arguments:
        inputs: tensor `(batch, time, ...)`.
        training: handed to the layer, if it takes it.
        mask: `None`, or bool tensor `(batch, time)`, of which the layer gets its step.

    Raises:
        ValueError: `layer` is not a layer, or the inputs have fewer than three dimensions.

    Example:
        >>> import numpy as np
        >>> import kbackend as keras
        >>> TimeDistributed(keras.layers.Dense(4))(np.ones((2, 5, 3))).shape
        (2, 5, 4)
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any = None) -> None:
        """Builds the layer for one step."""
        if not isinstance(input_shape, (tuple, list)) or len(input_shape) < 3:
            raise ValueError(
                "[TimeDistributed] the inputs must have at least 3 dimensions. Received: "
                f"input_shape={input_shape}."
            )
        super().build((input_shape[0], *input_shape[2:]))

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """The layer's outputs, stacked along the time."""
        layer = self.layer
        extra = {}
        if layer._call_signature.has_training:
            extra["training"] = training
        takes_mask = mask is not None and layer._call_signature.has_mask
        shape = inputs.shape
        if isinstance(inputs, KerasTensor):
            # One step tells the shape of all.
            out = layer(KerasTensor((shape[0], *shape[2:]), inputs.dtype), **extra)
            return KerasTensor((out.shape[0], shape[1], *out.shape[1:]), out.dtype)
        if takes_mask:
            mask = to_tensor(mask)
        steps = []
        for t in range(shape[1]):
            if takes_mask:
                extra["mask"] = at_step(mask, t)
            out = layer(at_step(inputs, t), **extra)
            steps.append(lang.reshape(out, (out.shape[0], 1, *out.shape[1:])))
        return lang.concatenate(steps, 1)
