"""`LSTMCell`: one step of a long short-term memory."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang, operators
from kbackend.core.convert import to_tensor
from kbackend.layers.recurrent.cell import WeightedCell, columns


class LSTMCell(WeightedCell):
    """One step of `LSTM`: input, forget and output gates, and a cell that they guard.

    Args:
        units: size of the output and of the state.
        activation: activation of the candidate and of the output.
        recurrent_activation: activation of the gates.
        use_bias: whether there are biases.
        kernel_initializer: initializer of the kernel, `(features, 4 * units)`.
        recurrent_initializer: initializer of the recurrent kernel, `(units, 4 * units)`.
        bias_initializer: initializer of the bias.
        unit_forget_bias: whether the forget gate's bias begins with ones.
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
        inputs: tensor `(batch, features)`.
        states: list of the output and the cell, `(batch, units)` each.
        training: whether to drop.

    Raises:
        ValueError: `units` is not a positive integer, or a rate is not in [0, 1].

    Example:
        >>> import numpy as np
        >>> cell = LSTMCell(4)
        >>> output, states = cell(np.ones((2, 3)), cell.get_initial_state(2))
        >>> output.shape, len(states)
        ((2, 4), 2)

    Reference:
        S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997.
    """

    blocks = 4

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
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
                "recurrent_activation": recurrent_activation,
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
        self.unit_forget_bias = unit_forget_bias
        self.state_size = [self.units, self.units]

    def _initial_bias(self) -> Any:
        if not self.unit_forget_bias:
            return self.bias_initializer
        units, given = self.units, self.bias_initializer

        def initialize(shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
            parts = [
                given((units,), dtype=dtype, **kwargs),
                lang.full((units,), 1, dtype),
                given((2 * units,), dtype=dtype, **kwargs),
            ]
            return lang.concatenate([to_tensor(part) for part in parts], 0)

        return initialize

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        """The output, and the state `[output, cell]`."""
        x, h = self._dropped(inputs, states[0], training)
        z = lang.add(
            operators.matmul(x, self.kernel.read()),
            operators.matmul(h, self.recurrent_kernel.read()),
        )
        if self.bias is not None:
            z = lang.add(z, self.bias.read())
        gates = [columns(z, self.units, k) for k in range(4)]
        gate = self.recurrent_activation
        kept = lang.mul(gate(gates[1]), states[1])
        cell = lang.add(kept, lang.mul(gate(gates[0]), self.activation(gates[2])))
        output = lang.mul(gate(gates[3]), self.activation(cell))
        return output, [output, cell]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "unit_forget_bias": self.unit_forget_bias}
