"""`RMSNormalization`."""

from __future__ import annotations

from typing import Any

from kbackend.base import shapes
from kbackend.layers.layer import Layer
from kbackend.layers.normalization.parameters import axis_or_axes, known_dims, plain_axis
from kbackend.ops.nn.norm import rms_normalization


class RMSNormalization(Layer):
    """Divides by the root mean square over `axis`; then multiplies by a learned scale.

    Args:
        axis: int, or list or tuple of ints: the dimensions to normalise over; the last one by
            default.
        epsilon: what is added to the mean square.

    Raises:
        TypeError: `axis` is neither an integer nor several of them.

    Example:
        >>> import numpy as np
        >>> RMSNormalization(epsilon=0.0)(np.array([[3.0, 3.0]])).tolist()
        [[1.0, 1.0]]

    Reference:
        B. Zhang, R. Sennrich, "Root mean square layer normalization", 2019.
    """

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        axis_or_axes("RMSNormalization", axis)
        self.axis = axis
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        """Makes the scale."""
        self._over = shapes.canonical_axes(self.axis, len(input_shape))
        # As Keras does: a built layer's config has a sorted list.
        self.axis = [self.axis] if isinstance(self.axis, int) else sorted(self.axis)
        shape = known_dims("RMSNormalization", input_shape, self._over)
        self.scale = self.add_weight(name="scale", shape=shape, initializer="ones")

    def call(self, x: Any) -> Any:
        """The normalised inputs."""
        return rms_normalization(x, self.scale.read(), self._over, self.epsilon)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "axis": plain_axis(self.axis), "epsilon": self.epsilon}
