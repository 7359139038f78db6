"""What recurrent cells compute for one vector of units, forwards and back.

The weights that meet at a step are columns of blocks, one block for each gate; see
`kbackend.ops.nn.rnn`, whose order of the blocks this is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.math import sigmoid, tanh
from kbackend_numba.codegen.value import Value
from kbackend_numba.kernels.recurrent_rows import VECTORS

Values = Sequence[Value]


class Cell(NamedTuple):
    """A recurrent cell.

    Attributes:
        name: of the layer.
        layout: for each block which one of the kernel and which one of the recurrent kernel it
            is; `None`: the block has no such weights. Blocks with inputs come first, those with
            the state last.
        passes: the blocks that are summed up side by side; among these, too, those with inputs
            come first, those with the state last.
        states: how many there are; the first is the output.
        kept: how many blocks the gradient needs to know.
        carries: whether the output's cotangents come back another way than through the sums, too.
        forward: `forward(code, sums, states)` gives the new states and what is kept.
        back: `back(code, kept, before, after, flow)` goes back over a step: from what was kept,
            the states before and after it, and the cotangents of those after it. It gives the
            cotangents of the sums, and of the states before as far as they don't come through the
            sums (`None`: nothing).
    """

    name: str
    layout: tuple[tuple[int | None, int | None], ...]
    passes: tuple[tuple[int, ...], ...]
    states: int
    kept: int
    carries: bool
    forward: Callable[[Code, Values, Values], tuple[list[Value], list[Value]]]
    back: Callable[[Code, Values, Values, Values, Values], tuple[list[Value], list[Value | None]]]

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return len(self.layout)

    @property
    def span(self) -> int:
        """Vectors of units that are done at once: so many that tiles are wide enough."""
        return VECTORS // max(len(blocks) for blocks in self.passes)

    @property
    def two_biases(self) -> bool:
        """Whether the state has biases of its own: where a block sees nothing but it."""
        return any(i is None for i, _ in self.layout)

    def inputs(self, blocks: Sequence[int] | None = None) -> list[int]:
        """Those of the blocks (of all) that have inputs, as blocks of the kernel."""
        own = self.layout if blocks is None else [self.layout[k] for k in blocks]
        return [i for i, _ in own if i is not None]

    def recurrent(self, blocks: Sequence[int] | None = None) -> list[int]:
        """Those of the blocks (of all) that have the state, as blocks of the recurrent kernel."""
        own = self.layout if blocks is None else [self.layout[k] for k in blocks]
        return [j for _, j in own if j is not None]


def _slope(s: Value) -> Value:
    """The slope of the sigmoid where its value is `s`."""
    return s * (1.0 - s)


def _lstm(code: Code, sums: Values, states: Values) -> tuple[list[Value], list[Value]]:
    entry, forget, exit_ = [sigmoid(code, z) for z in sums[:3]]
    candidate = tanh(code, sums[3])
    cell = forget * states[1] + entry * candidate
    return [exit_ * tanh(code, cell), cell], [entry, forget, exit_, candidate]


def _lstm_back(
    code: Code, kept: Values, before: Values, after: Values, flow: Values
) -> tuple[list[Value], list[Value | None]]:
    (entry, forget, exit_, candidate), (dh, dc) = kept, flow
    squashed = tanh(code, after[1])
    dc = dc + dh * exit_ * (1.0 - squashed * squashed)
    sums = [
        dc * candidate * _slope(entry),
        dc * before[1] * _slope(forget),
        dh * squashed * _slope(exit_),
        dc * entry * (1.0 - candidate * candidate),
    ]
    return sums, [None, dc * forget]


def _gru(code: Code, sums: Values, states: Values) -> tuple[list[Value], list[Value]]:
    update, reset = [sigmoid(code, z) for z in sums[1:3]]
    candidate = tanh(code, sums[0] + reset * sums[3])
    state = candidate + update * (states[0] - candidate)
    return [state], [candidate, update, reset, sums[3]]


def _gru_back(
    code: Code, kept: Values, before: Values, after: Values, flow: Values
) -> tuple[list[Value], list[Value | None]]:
    (candidate, update, reset, recurrent), (dh,) = kept, flow
    inner = dh * (1.0 - update) * (1.0 - candidate * candidate)
    sums = [
        inner,
        dh * (before[0] - candidate) * _slope(update),
        inner * recurrent * _slope(reset),
        inner * reset,
    ]
    return sums, [dh * update]


def _simple(code: Code, sums: Values, states: Values) -> tuple[list[Value], list[Value]]:
    return [tanh(code, sums[0])], []


def _simple_back(
    code: Code, kept: Values, before: Values, after: Values, flow: Values
) -> tuple[list[Value], list[Value | None]]:
    return [flow[0] * (1.0 - after[0] * after[0])], [None]


LSTM = Cell(
    "lstm", ((0, 0), (1, 1), (3, 3), (2, 2)), ((0, 1), (2, 3)), 2, 4, False, _lstm, _lstm_back
)  # fmt: skip
GRU = Cell(
    "gru", ((2, None), (0, 0), (1, 1), (None, 2)), ((1, 2), (0, 3)), 1, 4, True, _gru, _gru_back
)  # fmt: skip
SIMPLE = Cell("simple", ((0, 0),), ((0,),), 1, 0, False, _simple, _simple_back)
CELLS = {cell.name: cell for cell in (LSTM, GRU, SIMPLE)}
