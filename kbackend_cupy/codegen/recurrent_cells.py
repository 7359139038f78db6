"""What recurrent cells compute for one unit of one example, forwards and back, as CUDA text.

The blocks of all weights are in Keras's order, in which arguments have them; see
`kbackend.ops.nn.rnn` for what they are.
"""

from __future__ import annotations

from typing import NamedTuple

Lines = tuple[str, ...]


class Cell(NamedTuple):
    """A recurrent cell.

    Attributes:
        name: of the layer.
        blocks: of the kernel's columns, and of the recurrent kernel's.
        two_biases: whether the state's part has biases of its own.
        states: how many there are; the first one is the output.
        kept: blocks that the gradient needs to know beside the states.
        inputs: for each of the inputs' blocks, which of the cotangents `d` is that of its sum.
        recurrent: the same of the state's blocks.
        forward: from the inputs' part `z`, the state's part `s`, both with their biases, and the
            states `h` and `c` to the new ones, `next_h` and `next_c`, and what is kept, `gate`.
        back: from `gate`, `before` and `after` (of the state that `looks_at` names) and the
            cotangents `dh` and `dc` to those of the sums, `d`; `dc` and `carry` become those of the
            states before, as far as they don't come through the sums.
        looks_at: the state that the way back reads, as a number of the kept ones.
    """

    name: str
    blocks: int
    two_biases: bool
    states: int
    kept: int
    inputs: tuple[int, ...]
    recurrent: tuple[int, ...]
    forward: Lines
    back: Lines
    looks_at: int

    @property
    def sums(self) -> int:
        """How many cotangents of sums there are."""
        return 1 + max(*self.inputs, *self.recurrent)


LSTM = Cell(
    "lstm", 4, False, 2, 4, (0, 1, 2, 3), (0, 1, 2, 3),
    (
        "gate[0] = kb::sigmoid(z[0] + s[0]);",
        "gate[1] = kb::sigmoid(z[1] + s[1]);",
        "gate[2] = kb::tanh(z[2] + s[2]);",
        "gate[3] = kb::sigmoid(z[3] + s[3]);",
        "next_c = gate[1] * c + gate[0] * gate[2];",
        "next_h = gate[3] * kb::tanh(next_c);",
    ),
    (
        "const work squashed = kb::tanh(after);",
        "dc += dh * gate[3] * (1 - squashed * squashed);",
        "d[0] = dc * gate[2] * kb::slope(gate[0]);",
        "d[1] = dc * before * kb::slope(gate[1]);",
        "d[2] = dc * gate[0] * (1 - gate[2] * gate[2]);",
        "d[3] = dh * squashed * kb::slope(gate[3]);",
        "dc *= gate[1];",
        "carry = 0;",
    ),
    1,
)  # fmt: skip

# The candidate has two sums: what the inputs add to it, and what the reset gate lets through.
GRU = Cell(
    "gru", 3, True, 1, 4, (0, 1, 2), (0, 1, 3),
    (
        "gate[0] = kb::sigmoid(z[0] + s[0]);",
        "gate[1] = kb::sigmoid(z[1] + s[1]);",
        "gate[2] = kb::tanh(z[2] + gate[1] * s[2]);",
        "gate[3] = s[2];",
        "next_h = gate[2] + gate[0] * (h - gate[2]);",
    ),
    (
        "d[2] = dh * (1 - gate[0]) * (1 - gate[2] * gate[2]);",
        "d[0] = dh * (before - gate[2]) * kb::slope(gate[0]);",
        "d[1] = d[2] * gate[3] * kb::slope(gate[1]);",
        "d[3] = d[2] * gate[1];",
        "carry = dh * gate[0];",
    ),
    0,
)  # fmt: skip

SIMPLE = Cell(
    "simple_rnn", 1, False, 1, 0, (0,), (0,),
    ("next_h = kb::tanh(z[0] + s[0]);",),
    ("d[0] = dh * (1 - after * after);", "carry = 0;"),
    0,
)  # fmt: skip

CELLS = (LSTM, GRU, SIMPLE)
