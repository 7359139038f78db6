"""Recurrent layers over whole sequences, forwards and back; see `kbackend.ops.nn.rnn`.

Forwards, the weights are packed, and then the examples are shared between the threads: each goes
through all steps. Back, a few steps at a time, first the cotangents of the sums are made in the
same way, then tiles of the weights' gradients are shared between the threads.

What is kept for the gradient is in this engine's own order, so both directions are done here, or
neither is.
"""

from __future__ import annotations

from kbackend.engine.program import Ints, Prepared, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.vectors import fill
from kbackend_numba.eager import Outputs
from kbackend_numba.kernels.recurrent_back_plan import plan_back
from kbackend_numba.kernels.recurrent_cell import GRU, LSTM, SIMPLE, Cell
from kbackend_numba.kernels.recurrent_forward_plan import plan_forward
from kbackend_numba.kernels.recurrent_plan import Specs
from kbackend_numba.native import Call, Prepare, native

_DTYPES = frozenset(("float32", "float64"))


def _taken(inputs: Specs, x: Spec, h: Spec) -> bool:
    """Whether sequences of that kind are done here, in both directions.

    Args:
        inputs: all arguments of the composite that are floats.
        x: the input.
        h: the state.
    """
    same = all(spec.dtype == x.dtype for spec in inputs)
    return same and x.dtype in _DTYPES and 0 not in (*h.shape, x.shape[1])


def _nothing(outputs: Specs) -> Prepared | None:
    """What comes of an empty batch: gradients of zeros. Where NumPy has no kernel there is this."""
    if any(spec.dtype not in _DTYPES for spec in outputs):
        return None
    calls = []
    for i, spec in enumerate(outputs):

        def write(code: Code, dtype: str = spec.dtype) -> None:
            fill(code, code.array(0), code.size(0), code.number(0.0, dtype))

        calls.append(Call(function(("zeros", spec.dtype), write), (i,), (spec.size,)))
    return native(calls)


def _forward(cell: Cell, masked: bool) -> Prepare:
    def prepare(
        inputs: Specs, outputs: Specs, sequences: bool, backwards: bool, keep: bool
    ) -> Prepared | None:
        if not _taken(inputs[: 4 + cell.states], inputs[0], inputs[4]):
            return _nothing(outputs) if masked else None
        return plan_forward(
            cell, inputs, outputs,
            masked=masked, sequences=sequences, backwards=backwards, keep=keep,
        )  # fmt: skip

    return prepare


def _back(cell: Cell, masked: bool) -> Prepare:
    x_at = 1 + cell.states

    def prepare(
        inputs: Specs, outputs: Specs, sequences: bool, backwards: bool, wants: tuple[bool, ...]
    ) -> Prepared | None:
        if not _taken(inputs[: x_at + 4 + cell.states], inputs[x_at], inputs[x_at + 4]):
            return _nothing(outputs) if masked else None
        return plan_back(
            cell, inputs, outputs,
            masked=masked, sequences=sequences, backwards=backwards, wants=wants,
        )  # fmt: skip

    return prepare


# ----- the results' specs, for calls outside of programs -----


def _forward_outputs(cell: Cell) -> Outputs:
    def outputs(inputs: Specs, sequences: bool, backwards: bool, keep: bool) -> Specs:
        batch, time, _ = inputs[0].shape
        units = inputs[4].shape[1]
        shapes: list[Ints] = [(batch, time, units) if sequences else (batch, units)]
        shapes += [(batch, units)] * cell.states
        if keep:
            shapes += [(time + 1, units, batch)] * cell.states
            shapes += [(time, cell.kept * units, batch)] * (cell.kept > 0)
        return tuple([Spec(shape, inputs[0].dtype) for shape in shapes])

    return outputs


def _back_outputs(cell: Cell) -> Outputs:
    x_at = 1 + cell.states

    def outputs(inputs: Specs, sequences: bool, backwards: bool, wants: tuple[bool, ...]) -> Specs:
        args = inputs[x_at : x_at + 4 + cell.states]
        return tuple([spec for spec, want in zip(args, wants, strict=True) if want])

    return outputs


_CELLS = {"lstm": LSTM, "gru": GRU, "simple_rnn": SIMPLE}
PREPARE: dict[str, Prepare] = {}
# What is kept is in this engine's own order, so single calls need these kernels, too.
OUTPUTS: dict[str, Outputs] = {}
for _name, _cell in _CELLS.items():
    for _prefix in ("", "masked_"):
        _forwards, _backwards = f"{_prefix}{_name}_sequence", f"{_prefix}{_name}_sequence_grad"
        PREPARE[_forwards] = _forward(_cell, masked=bool(_prefix))
        PREPARE[_backwards] = _back(_cell, masked=bool(_prefix))
        OUTPUTS[_forwards], OUTPUTS[_backwards] = _forward_outputs(_cell), _back_outputs(_cell)
