"""`Dense`: a fully connected layer."""

from __future__ import annotations

from typing import Any

from kbackend import activations, constraints, initializers, regularizers
from kbackend.core import lang, operators
from kbackend.layers.arguments import known_dim, positive_int
from kbackend.layers.core.low_rank import LowRank
from kbackend.layers.input_spec import InputSpec


class Dense(LowRank):
    """`activation(inputs @ kernel + bias)`, over the last dimension of the inputs.

    Args:
        units: size of the output's last dimension.
        activation: activation, or its name; none by default.
        use_bias: whether there is a bias.
        kernel_initializer: initializer of the kernel, `(input_dim, units)`.
        bias_initializer: initializer of the bias, `(units,)`.
        kernel_regularizer: regularizer of the kernel.
        bias_regularizer: regularizer of the bias.
        activity_regularizer: regularizer of the output.
        kernel_constraint: constraint of the kernel.
        bias_constraint: constraint of the bias.
        lora_rank: rank of an adapter beside the kernel, which is frozen then; none by default.
        lora_alpha: the adapter is scaled by `lora_alpha / lora_rank`; `lora_rank` by default.
        quantization_config: accepted for compatibility, must be `None`.

    Raises:
        ValueError: `units` is not a positive integer.

    Example:
        >>> import numpy as np
        >>> Dense(2, kernel_initializer="ones")(np.array([[1.0, 2.0]])).tolist()
        [[3.0, 3.0]]
    """

    _adapted = "kernel"

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = positive_int("Dense", "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self._configure_lora(lora_rank, lora_alpha, quantization_config)
        self.bias: Any = None
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Makes the kernel, and the bias."""
        input_dim = known_dim("Dense", input_shape, -1)
        self._kernel = self.add_weight(
            name="kernel", shape=(input_dim, self.units), initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.units,), initializer=self.bias_initializer,
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )  # fmt: skip
        self.input_spec = InputSpec(min_ndim=2, axes={-1: input_dim})
        self._build_lora()

    @property
    def kernel(self) -> Any:
        """The kernel: a variable, or the sum of the frozen one and its adapter."""
        return self._adapted_weight()

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The output. `training` makes no difference."""
        kernel = self._adapted_weight() if self.lora_enabled else self._kernel.read()
        if inputs.dtype == kernel.dtype:
            x = lang.dot(inputs, kernel, ((len(inputs.shape) - 1,), (0,)))
            if self.bias is not None:
                x = lang.add(x, self.bias.read())
        else:
            x = operators.matmul(inputs, kernel)
            if self.bias is not None:
                x = operators.add(x, self.bias)
        activation = self.activation
        return x if activation is activations.linear else activation(x)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }
