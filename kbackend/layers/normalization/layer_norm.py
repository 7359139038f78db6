"""`LayerNormalization`."""

from __future__ import annotations

import warnings
from typing import Any

from kbackend.base import shapes
from kbackend.layers.normalization.parameters import (
    AffineNormalization,
    axis_or_axes,
    known_dims,
    plain_axis,
)
from kbackend.ops.nn.norm import layer_normalization


class LayerNormalization(AffineNormalization):
    """Brings each example to mean 0 and variance 1 over `axis`; then scales and shifts it.

    Args:
        axis: int or list of ints: the dimensions to normalise over; the last one by default.
        epsilon: what is added to the variance.
        center: whether to add an offset, `beta`.
        scale: whether to multiply by a scale, `gamma`.
        beta_initializer: initializer of the offset.
        gamma_initializer: initializer of the scale.
        beta_regularizer: regularizer of the offset.
        gamma_regularizer: regularizer of the scale.
        beta_constraint: constraint of the offset.
        gamma_constraint: constraint of the scale.
        **kwargs: those of `Layer`; and `rms_scaling`, of older code, for which there is
            `RMSNormalization` now.

    Raises:
        TypeError: `axis` is neither an integer nor a list of them.

    Example:
        >>> import numpy as np
        >>> LayerNormalization(epsilon=0.0)(np.array([[1.0, 3.0]])).tolist()
        [[-1.0, 1.0]]

    Reference:
        J. L. Ba et al., "Layer normalization", 2016.
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        rms_scaling = kwargs.pop("rms_scaling", False)
        if rms_scaling:
            warnings.warn(
                "[LayerNormalization] rms_scaling=True is of older code. Use RMSNormalization.",
                stacklevel=2,
            )
        super().__init__(
            epsilon=epsilon, center=center, scale=scale, beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer, beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer, beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint, **kwargs,
        )  # fmt: skip
        self.axis = axis_or_axes("LayerNormalization", axis)
        self.rms_scaling = bool(rms_scaling)

    def build(self, input_shape: Any) -> None:
        """Makes the scale and the offset."""
        self._over = shapes.canonical_axes(self.axis, len(input_shape))
        # As Keras does: a built layer's config has a sorted list.
        self.axis = [self.axis] if isinstance(self.axis, int) else sorted(self.axis)
        if self.scale or self.rms_scaling or self.center:
            shape = known_dims("LayerNormalization", input_shape, self._over)
        if self.scale or self.rms_scaling:
            self._add_gamma(shape)
        if self.center and not self.rms_scaling:
            self._add_beta(shape)

    def call(self, inputs: Any) -> Any:
        """The normalised inputs."""
        return layer_normalization(
            inputs,
            None if self.gamma is None else self.gamma.read(),
            None if self.beta is None else self.beta.read(),
            self._over,
            self.epsilon,
            rms_scaling=self.rms_scaling,
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "axis": plain_axis(self.axis),
            "rms_scaling": self.rms_scaling,
        }
