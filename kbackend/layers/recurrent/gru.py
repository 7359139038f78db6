"""`GRU`: a gated recurrent unit over a sequence."""

from __future__ import annotations

from typing import Any

from kbackend import activations
from kbackend.layers.input_spec import InputSpec
from kbackend.layers.recurrent.cell_rnn import CellRNN
from kbackend.layers.recurrent.gru_cell import GRUCell
from kbackend.ops.nn.rnn import gru_sequence, masked_gru_sequence


class GRU(CellRNN):
    """A gated recurrent unit over a sequence: two gates and a candidate for the new state.

    With the default activations, and without recurrent dropout, the whole sequence runs
    in one fused step.

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
        activity_regularizer: regularizer of the output.
        kernel_constraint: constraint of the kernel.
        recurrent_constraint: constraint of the recurrent kernel.
        bias_constraint: constraint of the bias.
        dropout: part of the inputs to drop while training.
        recurrent_dropout: part of the state to drop while training.
        seed: seed of the dropout.
        return_sequences: whether to return the outputs of all time steps, or the last one's.
        return_state: whether to return the last states too.
        go_backwards: whether to run from the last time step to the first.
        stateful: whether the last states of a batch are the initial ones of the next.
        unroll: whether a compiled step has every time step by itself in place of a loop; it also
            tells how a mask acts.
        reset_after: whether the reset gate acts after the product with the recurrent kernel.
        use_cudnn: `False` asks for the general loop, also where the fused sequence would do.

    Call arguments:
        sequences: tensor `(batch, time, features)`.
        initial_state: list of tensors `(batch, units)`; zeros by default.
        mask: bool tensor `(batch, time)`; false time steps are skipped.
        training: whether to drop.

    Raises:
        ValueError: `units` is not a positive integer, or a rate is not in [0, 1].

    Example:
        >>> import numpy as np
        >>> x = np.ones((2, 5, 3))
        >>> GRU(4)(x).shape, GRU(4, return_sequences=True)(x).shape
        ((2, 4), (2, 5, 4))

    Reference:
        K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
        machine translation", EMNLP 2014.
    """

    sequence = gru_sequence
    masked_sequence = masked_gru_sequence

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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        cell = GRUCell(
            units,
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            reset_after=reset_after,
            seed=seed,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="gru_cell",
            implementation=kwargs.pop("implementation", 2),
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.input_spec = InputSpec(ndim=3)
        self.use_cudnn = use_cudnn
        self._fused = (
            cell.activation is activations.tanh
            and cell.recurrent_activation is activations.sigmoid
            and cell.reset_after
            and use_cudnn is not False
        )

    @property
    def reset_after(self) -> bool:
        """The cell's."""
        return bool(self.cell.reset_after)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "reset_after": self.reset_after,
            "seed": self.cell.seed,
        }
