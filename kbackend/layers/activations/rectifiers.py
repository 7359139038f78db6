"""`ReLU`, `LeakyReLU`, `PReLU`, `ELU` and `ThresholdedReLU`."""

from __future__ import annotations

from typing import Any

from kbackend import activations, constraints, initializers, ops, regularizers
from kbackend.layers.arguments import known_dim
from kbackend.layers.input_spec import InputSpec
from kbackend.layers.layer import Layer


def _not_negative(layer: str, name: str, value: Any) -> float:
    if value is None or value < 0:
        raise ValueError(
            f"[{layer}] '{name}' must be a number that is not negative. Received: {name}={value}."
        )
    return float(value)


class ReLU(Layer):
    """`x` where it is at least the threshold; below, `negative_slope * (x - threshold)`.

    Args:
        max_value: upper bound; none by default.
        negative_slope: slope below the threshold.
        threshold: where the bend is.

    Raises:
        ValueError: an argument is negative.

    Example:
        >>> import numpy as np
        >>> ReLU(max_value=2.0)(np.array([-1.0, 1.0, 3.0])).tolist()
        [0.0, 1.0, 2.0]
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_value = (
            None if max_value is None else _not_negative("ReLU", "max_value", max_value)
        )
        self.negative_slope = _not_negative("ReLU", "negative_slope", negative_slope)
        self.threshold = _not_negative("ReLU", "threshold", threshold)
        self._plain = max_value is None and not self.negative_slope and not self.threshold
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The rectified inputs."""
        if self._plain:
            return ops.relu(inputs)
        return activations.relu(
            inputs,
            negative_slope=self.negative_slope,
            max_value=self.max_value,
            threshold=self.threshold,
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class LeakyReLU(Layer):
    """`x` where it is positive, `negative_slope * x` elsewhere.

    Args:
        negative_slope: slope for negative inputs. `alpha` is its old name.

    Raises:
        ValueError: the slope is negative.

    Example:
        >>> import numpy as np
        >>> LeakyReLU(0.5)(np.array([-1.0, 1.0])).tolist()
        [-0.5, 1.0]
    """

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        negative_slope = kwargs.pop("alpha", negative_slope)
        super().__init__(**kwargs)
        self.negative_slope = _not_negative("LeakyReLU", "negative_slope", negative_slope)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The rectified inputs."""
        return ops.leaky_relu(inputs, negative_slope=self.negative_slope)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "negative_slope": self.negative_slope}


class PReLU(Layer):
    """`x` where it is positive, `alpha * x` elsewhere, with slopes that are learnt.

    Args:
        alpha_initializer: initializer of the slopes, one for each element of a sample.
        alpha_regularizer: regularizer of the slopes.
        alpha_constraint: constraint of the slopes.
        shared_axes: axis or axes along which the slopes are the same.

    Example:
        >>> import numpy as np
        >>> PReLU(alpha_initializer="ones")(np.array([[-1.0, 1.0]])).tolist()
        [[-1.0, 1.0]]

    Reference:
        K. He et al., "Delving deep into rectifiers", ICCV 2015.
    """

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer or "Zeros")
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        if shared_axes is not None and not isinstance(shared_axes, (list, tuple)):
            shared_axes = [shared_axes]
        self.shared_axes = None if shared_axes is None else list(shared_axes)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Makes the slopes."""
        rank = len(input_shape)
        shared = {axis % rank for axis in self.shared_axes or ()}
        own = {i: known_dim("PReLU", input_shape, i) for i in range(1, rank) if i not in shared}
        self.alpha = self.add_weight(
            name="alpha", shape=tuple(own.get(i, 1) for i in range(1, rank)),
            initializer=self.alpha_initializer, regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )  # fmt: skip
        self.input_spec = InputSpec(ndim=rank, axes=own)

    def call(self, inputs: Any) -> Any:
        """The rectified inputs."""
        below = ops.relu(ops.negative(inputs))
        return ops.subtract(ops.relu(inputs), ops.multiply(self.alpha.read(), below))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": regularizers.serialize(self.alpha_regularizer),
            "alpha_constraint": constraints.serialize(self.alpha_constraint),
            "shared_axes": self.shared_axes,
        }


class ELU(Layer):
    """`x` where it is positive, `alpha * (exp(x) - 1)` elsewhere.

    Args:
        alpha: the value for large negative inputs is `-alpha`.

    Example:
        >>> import numpy as np
        >>> ELU(2.0)(np.array([-100.0, 1.0])).tolist()
        [-2.0, 1.0]

    Reference:
        D. Clevert et al., "Fast and accurate deep network learning by exponential linear units",
        ICLR 2016.
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The rectified inputs."""
        return ops.elu(inputs, alpha=self.alpha)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "alpha": self.alpha}


class ThresholdedReLU(Layer):
    """`x` where it is above `theta`, zero elsewhere. Kept for models of earlier versions.

    Args:
        theta: the threshold.

    Raises:
        ValueError: `theta` is negative.

    Example:
        >>> import numpy as np
        >>> ThresholdedReLU(1.0)(np.array([0.5, 1.5])).tolist()
        [0.0, 1.5]
    """

    def __init__(self, theta: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.theta = _not_negative("ThresholdedReLU", "theta", theta)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The rectified inputs."""
        return ops.multiply(inputs, ops.cast(ops.greater(inputs, self.theta), inputs.dtype))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "theta": self.theta}
