"""`EinsumDense`."""

from __future__ import annotations

import re
from typing import Any

from kbackend import activations, constraints, initializers, ops, regularizers
from kbackend.layers.core.low_rank import LowRank

_EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


class EinsumDense(LowRank):
    """`activation(einsum(equation, inputs, kernel) + bias)`: a dense layer over any dimensions.

    Args:
        equation: einsum equation of inputs and kernel, such as "abc,cd->abd"; inputs and output
            may have an ellipsis at the same end.
        output_shape: shape of the output without the batch and the dimensions of the ellipsis;
            an int for one dimension, `None` for a dimension that the inputs have.
        activation: activation, or its name; none by default.
        bias_axes: letters of the output's dimensions that the bias has; no bias by default.
        kernel_initializer: initializer of the kernel.
        bias_initializer: initializer of the bias.
        kernel_regularizer: regularizer of the kernel.
        bias_regularizer: regularizer of the bias.
        kernel_constraint: constraint of the kernel.
        bias_constraint: constraint of the bias.
        lora_rank: rank of an adapter beside the kernel, which is frozen then; none by default.
        lora_alpha: the adapter is scaled by `lora_alpha / lora_rank`; `lora_rank` by default.
        gptq_unpacked_column_size: accepted for compatibility, must be `None`.
        quantization_config: accepted for compatibility, must be `None`.

    Raises:
        ValueError: the equation is malformed, or the shapes do not fit it.

    Example:
        >>> import numpy as np
        >>> EinsumDense("abc,cd->abd", (None, 4), bias_axes="d")(np.zeros((2, 3, 5))).shape
        (2, 3, 4)
    """

    _adapted = "kernel"

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        gptq_unpacked_column_size: int | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.equation = equation
        if isinstance(output_shape, int):
            output_shape = (output_shape,)
        self.partial_output_shape = tuple(output_shape)
        self.bias_axes = bias_axes
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        if gptq_unpacked_column_size is not None:
            quantization_config = quantization_config or "gptq"
        self._configure_lora(lora_rank, lora_alpha, quantization_config)
        self.bias: Any = None

    def build(self, input_shape: Any) -> None:
        """Makes the kernel, and the bias."""
        kernel_shape, bias_shape = weight_shapes(
            self.equation, self.bias_axes, tuple(input_shape), self.partial_output_shape
        )
        self._kernel = self.add_weight(
            name="kernel", shape=kernel_shape, initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        if bias_shape is not None:
            self.bias = self.add_weight(
                name="bias", shape=bias_shape, initializer=self.bias_initializer,
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )  # fmt: skip
        self._build_lora()

    @property
    def kernel(self) -> Any:
        """The kernel: a variable, or the sum of the frozen one and its adapter."""
        return self._adapted_weight()

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The output. `training` makes no difference."""
        kernel = self._adapted_weight() if self.lora_enabled else self._kernel.read()
        x = ops.einsum(self.equation, inputs, kernel)
        if self.bias is not None:
            x = ops.add(x, self.bias.read())
        activation = self.activation
        return x if activation is activations.linear else activation(x)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "output_shape": self.partial_output_shape,
            "equation": self.equation,
            "activation": activations.serialize(self.activation),
            "bias_axes": self.bias_axes,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }


def weight_shapes(
    equation: str, bias_axes: str | None, input_shape: Any, output_shape: tuple[int | None, ...]
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Shapes of the kernel and of the bias (`None` without one).

    Raises:
        ValueError: the equation is malformed, or the shapes do not fit it.

    Example:
        >>> weight_shapes("...x,xyz->...yz", "z", (None, 7, 5), (2, 3))
        ((5, 2, 3), (3,))
    """
    found = _EQUATION.fullmatch(equation.replace(" ", ""))
    ends = [found[i] is not None for i in (1, 3, 5, 7)] if found else []
    if not found or ends[:2] != ends[2:] or all(ends[:2]):
        raise ValueError(
            "[EinsumDense] 'equation' must look like 'ab,bc->ac', '...b,bc->...c' or "
            f"'ab...,bc->ac...'. Received: equation={equation!r}."
        )
    left, right = ends[:2]
    inputs, kernel, outputs = found[2], found[4], found[6]
    elided = len(input_shape) - len(inputs)
    if elided < 0 or (elided > 0 and not (left or right)):
        raise ValueError(
            f"[EinsumDense] the inputs of {equation!r} don't have {len(input_shape)} dimensions. "
            f"Received: input_shape={input_shape}."
        )
    own = input_shape[elided:] if left else input_shape[: len(inputs)]
    sizes = dict(zip(inputs, own, strict=True))
    # The batch is the first letter, unless it is part of the ellipsis.
    named = outputs if left else outputs[1:]
    if len(output_shape) != len(named):
        raise ValueError(
            f"[EinsumDense] 'output_shape' must have the {len(named)} dimension(s) {named!r} of "
            f"{equation!r}. Received: output_shape={output_shape}."
        )
    for letter, size in zip(named, output_shape, strict=True):
        if size is not None and sizes.get(letter) not in (None, size):
            raise ValueError(
                f"[EinsumDense] the dimension '{letter}' of {equation!r} is {sizes[letter]} in the "
                f"inputs and {size} in the output. Received: input_shape={input_shape}, "
                f"output_shape={output_shape}."
            )
        sizes[letter] = size if size is not None else sizes.get(letter)
    unknown = [letter for letter in kernel if sizes.get(letter) is None]
    if unknown:
        raise ValueError(
            f"[EinsumDense] the size of the kernel's dimension '{unknown[0]}' is neither in the "
            f"inputs nor in the output. Received: equation={equation!r}, "
            f"input_shape={input_shape}, output_shape={output_shape}."
        )
    kernel_shape = tuple(int(sizes[letter] or 0) for letter in kernel)
    if bias_axes is None:
        return kernel_shape, None
    wrong = [letter for letter in bias_axes if letter not in outputs]
    if wrong or not bias_axes:
        raise ValueError(
            f"[EinsumDense] 'bias_axes' must be letters of the output {outputs!r}. Received: "
            f"bias_axes={bias_axes!r}."
        )
    start = min(outputs.index(letter) for letter in bias_axes)
    bias_shape = []
    for letter in outputs[start:]:
        size = sizes[letter] if letter in bias_axes else 1
        if size is None:
            raise ValueError(
                f"[EinsumDense] the size of the bias's dimension '{letter}' must be known. "
                f"Received: input_shape={input_shape}, output_shape={output_shape}."
            )
        bias_shape.append(size)
    return kernel_shape, (*bias_shape, *([1] * elided if right else []))
