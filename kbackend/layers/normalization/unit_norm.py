"""`UnitNormalization`."""

from __future__ import annotations

from typing import Any

from kbackend.layers.layer import Layer
from kbackend.layers.normalization.parameters import axis_or_axes, plain_axis
from kbackend.ops.nn.norm import normalize


class UnitNormalization(Layer):
    """Brings each example to the Euclidean length one over `axis`.

    Args:
        axis: int or list of ints: the dimensions to normalise over; the last one by default.

    Raises:
        TypeError: `axis` is neither an integer nor a list of them.

    Example:
        >>> import numpy as np
        >>> UnitNormalization()(np.array([[3.0, 4.0]])).tolist()
        [[0.6, 0.8]]
    """

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis_or_axes("UnitNormalization", axis)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """The inputs, of length one."""
        return normalize(inputs, self.axis, order=2, epsilon=1e-12)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "axis": plain_axis(self.axis)}
