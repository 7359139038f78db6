"""`AffineNormalization`: base of the layers that end with a learned scale and offset."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kbackend import constraints, initializers, regularizers
from kbackend.core import lang
from kbackend.layers.layer import Layer


class AffineNormalization(Layer):
    """A normalisation with `gamma` and `beta`.

    Args:
        center: whether to add an offset, `beta`.
        scale: whether to multiply by a scale, `gamma`.
        beta_initializer: initializer of the offset.
        gamma_initializer: initializer of the scale.
        beta_regularizer: regularizer of the offset.
        gamma_regularizer: regularizer of the scale.
        beta_constraint: constraint of the offset.
        gamma_constraint: constraint of the scale.
    """

    def __init__(
        self,
        *,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        beta_constraint: Any,
        gamma_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma: Any = None
        self.beta: Any = None
        self.supports_masking = True

    def _add_gamma(self, shape: tuple[int, ...]) -> None:
        # Statistics and what is applied with them stay in the variables' precision.
        self.gamma = self.add_weight(
            name="gamma", shape=shape, initializer=self.gamma_initializer, autocast=False,
            regularizer=self.gamma_regularizer, constraint=self.gamma_constraint,
        )  # fmt: skip

    def _add_beta(self, shape: tuple[int, ...]) -> None:
        self.beta = self.add_weight(
            name="beta", shape=shape, initializer=self.beta_initializer, autocast=False,
            regularizer=self.beta_regularizer, constraint=self.beta_constraint,
        )  # fmt: skip

    def _affine(self, dtype: str, shape: tuple[int, ...]) -> list[Any]:
        """The scale and the offset, as far as there are, reshaped to broadcast."""
        return [
            lang.reshape(lang.cast(weight.read(), dtype), shape)
            for weight in (self.gamma, self.beta)
            if weight is not None
        ]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": constraints.serialize(self.beta_constraint),
            "gamma_constraint": constraints.serialize(self.gamma_constraint),
        }


def int_axis(layer: str, axis: Any) -> int:
    """`axis` as an int.

    Raises:
        TypeError: it isn't one.
    """
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise TypeError(f"[{layer}] 'axis' must be an integer. Received: axis={axis!r}.")
    return axis


def axis_or_axes(layer: str, axis: Any) -> Any:
    """`axis` as an int, or as a list of them if it is a list or tuple.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(axis, int) and not isinstance(axis, bool):
        return axis
    if isinstance(axis, (list, tuple)) and all(isinstance(a, int) for a in axis):
        return list(axis)
    raise TypeError(
        f"[{layer}] 'axis' must be an integer or a list of integers. Received: axis={axis!r}."
    )


def plain_axis(axis: Any) -> Any:
    """An axis attribute as it stands in a config."""
    return list(axis) if isinstance(axis, list) else axis


def known_dims(layer: str, shape: Any, axes: Iterable[int]) -> tuple[int, ...]:
    """Sizes of the dimensions on which weights depend.

    Raises:
        ValueError: one is not known.
    """
    sizes = tuple(shape[axis] for axis in axes)
    if None in sizes:
        raise ValueError(
            f"[{layer}] the sizes of the normalised dimensions must be known to make the weights. "
            f"Received: input_shape={tuple(shape)}."
        )
    return sizes
