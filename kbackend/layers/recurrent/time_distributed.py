"""`TimeDistributed`: a layer at every time step."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ir import bodies
from kbackend.layers.recurrent.scan import at_step, time_first
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
        if bodies.structured():
            return self._compiled(inputs, mask if takes_mask else None, extra)
        steps = []
        for t in range(shape[1]):
            if takes_mask:
                extra["mask"] = at_step(mask, t)
            out = layer(at_step(inputs, t), **extra)
            steps.append(lang.reshape(out, (out.shape[0], 1, *out.shape[1:])))
        return lang.concatenate(steps, 1)

    def _compiled(self, inputs: Any, mask: Any, extra: dict[str, Any]) -> Any:
        """The loop as one equation, whose body is traced once."""
        xs = [time_first(x) for x in (inputs, mask) if x is not None]

        def body(_: list[Any], rows: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
            given = extra if mask is None else {**extra, "mask": rows[1]}
            return [], [], [self.layer(rows[0], **given)]

        return time_first(bodies.scan("time_distributed", body, [], xs, inputs.shape[1])[2][0])
