"""`GroupNormalization`."""

from __future__ import annotations

from typing import Any

from kbackend.base import shapes
from kbackend.core import lang
from kbackend.layers.arguments import known_dim
from kbackend.layers.input_spec import InputSpec
from kbackend.layers.normalization.parameters import AffineNormalization, int_axis
from kbackend.ops.nn.arguments import LOW_PRECISION
from kbackend.ops.nn.normalizing import standardize_c


class GroupNormalization(AffineNormalization):
    """Brings groups of channels of each example to mean 0 and variance 1; then scales and shifts.

    Args:
        groups: number of groups into which the channels fall; -1 makes each channel a group of its
            own (instance normalisation), 1 makes all of them one.
        axis: int: the dimension of the channels.
        epsilon: what is added to the variance.
        center: whether to add an offset, `beta`.
        scale: whether to multiply by a scale, `gamma`.
        beta_initializer: initializer of the offset.
        gamma_initializer: initializer of the scale.
        beta_regularizer: regularizer of the offset.
        gamma_regularizer: regularizer of the scale.
        beta_constraint: constraint of the offset.
        gamma_constraint: constraint of the scale.

    Raises:
        ValueError: `groups` is neither positive nor -1, or doesn't divide the channels.

    Example:
        >>> import numpy as np
        >>> x = np.array([[1.0, 3.0, 10.0, 30.0]])
        >>> GroupNormalization(2, epsilon=0.0)(x).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]

    Reference:
        Y. Wu, K. He, "Group normalization", 2018.
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
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
        super().__init__(
            epsilon=epsilon, center=center, scale=scale, beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer, beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer, beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint, **kwargs,
        )  # fmt: skip
        if isinstance(groups, bool) or not isinstance(groups, int) or groups < -1 or groups == 0:
            raise ValueError(
                "[GroupNormalization] 'groups' must be a positive integer, or -1 for one group per "
                f"channel. Received: groups={groups!r}."
            )
        self.groups = groups
        self.axis = int_axis("GroupNormalization", axis)

    def build(self, input_shape: Any) -> None:
        """Makes the scale and the offset."""
        ndim = len(input_shape)
        channels = known_dim("GroupNormalization", input_shape, self.axis)
        if self.groups == -1:
            self.groups = channels
        if channels % self.groups:
            raise ValueError(
                "[GroupNormalization] the number of channels must be a multiple of 'groups'. "
                f"Received: groups={self.groups}, {channels} channels (input_shape="
                f"{tuple(input_shape)})."
            )
        self._at = at = shapes.canonical_axis(self.axis, ndim)
        # The channels are split into two dimensions: groups, and channels of a group.
        self._split = (self.groups, channels // self.groups)
        self._over = tuple(i for i in range(1, ndim + 1) if i != at)
        self._affine_shape = (*(1,) * at, *self._split, *(1,) * (ndim - at - 1))
        self.input_spec = InputSpec(ndim=ndim, axes={self.axis: channels})
        if self.scale:
            self._add_gamma((channels,))
        if self.center:
            self._add_beta((channels,))

    def call(self, inputs: Any) -> Any:
        """The normalised inputs."""
        shape, at = tuple(inputs.shape), self._at
        x = lang.cast(inputs, "float32") if inputs.dtype in LOW_PRECISION else inputs
        y = standardize_c(
            lang.reshape(x, (*shape[:at], *self._split, *shape[at + 1 :])),
            *self._affine(x.dtype, self._affine_shape),
            axes=self._over,
            epsilon=float(self.epsilon),
            scaled=self.scale,
            centred=self.center,
        )[0]
        return lang.cast(lang.reshape(y, shape), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "groups": self.groups, "axis": self.axis}
