"""`GRUCell`: one step of a gated recurrent unit."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang, operators
from kbackend.layers.recurrent.cell import WeightedCell, columns


class GRUCell(WeightedCell):
    """One step of `GRU`: update and reset gates, and a candidate for the new state.

    Args:
        units: size of the output and of the state.
        activation: activation of the candidate.
        recurrent_activation: activation of the gates.
        use_bias: whether there are biases.
        kernel_initializer: initializer of the kernel, `(features, 3 * units)`.
        recurrent_initializer: initializer of the recurrent kernel, `(units, 3 * units)`.
        bias_initializer: initializer of the bias.
        kernel_regularizer: regularizer of the kernel.
        recurrent_regularizer: regularizer of the recurrent kernel.
        bias_regularizer: regularizer of the bias.
        kernel_constraint: constraint of the kernel.
        recurrent_constraint: constraint of the recurrent kernel.
        bias_constraint: constraint of the bias.
        dropout: part of the inputs to drop while training.
        recurrent_dropout: part of the state to drop while training.
        reset_after: whether the reset gate acts after the product with the recurrent kernel.
        seed: seed of the dropout.

    Call arguments:
        inputs: tensor `(batch, features)`.
        states: list of the state, `(batch, units)`.
        training: whether to drop.

    Raises:
        ValueError: `units` is not a positive integer, or a rate is not in [0, 1].

    Example:
        >>> import numpy as np
        >>> cell = GRUCell(4)
        >>> output, states = cell(np.ones((2, 3)), cell.get_initial_state(2))
        >>> output.shape, len(states)
        ((2, 4), 1)

    Reference:
        K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
        machine translation", EMNLP 2014.
    """

    blocks = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
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
        reset_after: bool = True,
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
        self.reset_after = reset_after

    def _bias_shape(self) -> tuple[int, ...]:
        width = self.blocks * self.units
        return (2, width) if self.reset_after else (width,)

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        """The output, and the state, which is the same."""
        nested = isinstance(states, (list, tuple))
        before = states[0] if nested else states
        x, h = self._dropped(inputs, before, training)
        units, gate = self.units, self.recurrent_activation
        recurrent_kernel = self.recurrent_kernel.read()
        from_x = operators.matmul(x, self.kernel.read())
        bias = None if self.bias is None else self.bias.read()
        if bias is not None:
            from_x = lang.add(from_x, bias[0] if self.reset_after else bias)
        if self.reset_after:
            from_h = operators.matmul(h, recurrent_kernel)
            if bias is not None:
                from_h = lang.add(from_h, bias[1])
        else:
            from_h = operators.matmul(h, columns(recurrent_kernel, units, 0, 2))
        update = gate(lang.add(columns(from_x, units, 0), columns(from_h, units, 0)))
        reset = gate(lang.add(columns(from_x, units, 1), columns(from_h, units, 1)))
        if self.reset_after:
            recurrent = lang.mul(reset, columns(from_h, units, 2))
        else:
            recurrent = operators.matmul(lang.mul(reset, h), columns(recurrent_kernel, units, 2))
        candidate = self.activation(lang.add(columns(from_x, units, 2), recurrent))
        # Dropped or not, what is carried over is the state itself.
        output = lang.add(lang.mul(update, before), lang.mul(lang.sub(1.0, update), candidate))
        return output, [output] if nested else output

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "reset_after": self.reset_after}
