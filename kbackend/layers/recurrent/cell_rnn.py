"""What `SimpleRNN`, `LSTM` and `GRU` have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from kbackend.core import lang
from kbackend.core.bind import active_tapes
from kbackend.core.composite import Composite
from kbackend.layers.recurrent.cell import weight_config
from kbackend.layers.recurrent.rnn import RNN
from kbackend.ops.keras_tensor import KerasTensor


def _of_cell(name: str) -> Any:
    return property(lambda self: getattr(self.cell, name), doc="The cell's.")


class CellRNN(RNN):
    """Base of layers with a cell of their own, which may run the whole sequence at once."""

    # The composites for the whole sequence, without and with a mask.
    sequence: ClassVar[Composite]
    masked_sequence: ClassVar[Composite]
    _fused: bool

    units = _of_cell("units")
    activation = _of_cell("activation")
    recurrent_activation = _of_cell("recurrent_activation")
    use_bias = _of_cell("use_bias")
    kernel_initializer = _of_cell("kernel_initializer")
    recurrent_initializer = _of_cell("recurrent_initializer")
    bias_initializer = _of_cell("bias_initializer")
    kernel_regularizer = _of_cell("kernel_regularizer")
    recurrent_regularizer = _of_cell("recurrent_regularizer")
    bias_regularizer = _of_cell("bias_regularizer")
    kernel_constraint = _of_cell("kernel_constraint")
    recurrent_constraint = _of_cell("recurrent_constraint")
    bias_constraint = _of_cell("bias_constraint")
    dropout = _of_cell("dropout")
    recurrent_dropout = _of_cell("recurrent_dropout")

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool) -> Any:
        """Runs the sequence at once where that is possible: `(output, states)`."""
        cell = self.cell
        if (
            # Then a mask acts in another way.
            mask is not None
            and (self.unroll or self.zero_output_for_mask)
            or not self._fused
            or isinstance(sequences, KerasTensor)
            or training
            and cell.recurrent_dropout
            or not sequences.shape[1]
        ):
            return super().inner_loop(sequences, initial_state, mask, training)
        if training and 0.0 < cell.dropout < 1.0:
            batch, _, features = sequences.shape
            drop = cell._draw(lang.full((batch, 1, features), 1, sequences.dtype), cell.dropout)
            sequences = lang.mul(sequences, drop)
        kernel = cell.kernel.read()
        dtype = kernel.dtype
        if cell.bias is None:
            bias = lang.zeros(cell._bias_shape(), dtype)
        else:
            bias = cell.bias.read()
        run = self.sequence if mask is None else self.masked_sequence
        output, *states = run(
            lang.cast(sequences, dtype), kernel, cell.recurrent_kernel.read(), bias,
            *(lang.cast(state, dtype) for state in initial_state),
            *(() if mask is None else (mask,)),
            sequences=self.return_sequences, backwards=self.go_backwards,
            keep=bool(active_tapes()),
        )  # fmt: skip
        return output, states[: len(initial_state)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {**self._base_config(), **weight_config(self.cell)}
        # Here it is an argument of the layer, and its cell has none.
        config.setdefault("activity_regularizer", None)
        return config
