"""`Softmax`."""

from __future__ import annotations

from typing import Any

from kbackend import ops
from kbackend.layers.layer import Layer


class Softmax(Layer):
    """Exponentials that are scaled to the sum 1.

    Args:
        axis: axis or axes over which the sum is 1.

    Example:
        >>> import numpy as np
        >>> Softmax()(np.array([[1.0, 1.0, 1.0]]), mask=np.array([[True, False, True]])).tolist()
        [[0.5, 0.0, 0.5]]
    """

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """The softmax; zero where the mask is false."""
        if mask is None:
            return self._softmax(inputs)
        lowest = -3e4 if inputs.dtype == "float16" else -1e9
        mask = ops.cast(mask, "bool")
        out = self._softmax(ops.where(mask, inputs, ops.full_like(inputs, lowest)))
        return ops.where(mask, out, ops.zeros_like(out))

    def _softmax(self, x: Any) -> Any:
        axis = self.axis
        if isinstance(axis, (list, tuple)):
            if len(axis) > 1:
                return ops.exp(ops.subtract(x, ops.logsumexp(x, axis=tuple(axis), keepdims=True)))
            axis = axis[0]
        return ops.softmax(x, axis=axis)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "axis": self.axis}
