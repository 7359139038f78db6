"""`SimpleRNNCell`: one step of a fully connected recurrence."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang, operators
from kbackend.layers.recurrent.cell import WeightedCell


class SimpleRNNCell(WeightedCell):
    """One step of `SimpleRNN`: `h = activation(x @ kernel + h @ recurrent_kernel + bias)`.

    Args:
        units: size of the output and of the state.
        activation: activation of the output.
        use_bias: whether there are biases.
        kernel_initializer: initializer of the kernel, `(features, units)`.
        recurrent_initializer: initializer of the recurrent kernel, `(units, units)`.
        bias_initializer: initializer of the bias.
        kernel_regularizer: regularizer of the kernel.
        recurrent_regularizer: regularizer of the recurrent kernel.
        bias_regularizer: regularizer of the bias.
        kernel_constraint: constraint of the kernel.
        recurrent_constraint: constraint of the recurrent kernel.
        bias_constraint: constraint of the bias.
        dropout: part of the inputs to drop while training.
        recurrent_dropout: part of the state to drop while training.
        seed: seed of the dropout.

    Call arguments:
        sequence: tensor `(batch, features)`.
        states: list of the state, `(batch, units)`.
        training: whether to drop.

    Raises:
        ValueError: `units` is not a positive integer, or a rate is not in [0, 1].

    Example:
        >>> import numpy as np
        >>> cell = SimpleRNNCell(4)
        >>> output, states = cell(np.ones((2, 3)), cell.get_initial_state(2))
        >>> output.shape, len(states)
        ((2, 4), 1)
    """

    blocks = 1

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            {
                "activation": activation,
                "use_bias": use_bias,
                "kernel_initializer": kernel_initializer,
                "recurrent_initializer": recurrent_initializer,
                "bias_initializer": bias_initializer,
                "kernel_regularizer": kernel_regularizer,
                "recurrent_regularizer": recurrent_regularizer,
                "bias_regularizer": bias_regularizer,
                "kernel_constraint": kernel_constraint,
                "recurrent_constraint": recurrent_constraint,
                "bias_constraint": bias_constraint,
                "dropout": dropout,
                "recurrent_dropout": recurrent_dropout,
                "seed": seed,
            },
            **kwargs,
        )

    def call(self, sequence: Any, states: Any, training: bool = False) -> Any:
        """The output, and the state, which is the same."""
        nested = isinstance(states, (list, tuple))
        x, h = self._dropped(sequence, states[0] if nested else states, training)
        z = operators.matmul(x, self.kernel.read())
        if self.bias is not None:
            z = lang.add(z, self.bias.read())
        output = lang.add(z, operators.matmul(h, self.recurrent_kernel.read()))
        output = self.activation(output)
        return output, [output] if nested else output
