"""The code that brings the weights of recurrent layers into the order in which steps read them."""

from __future__ import annotations

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.kernels.copying import transposed
from kbackend_numba.kernels.recurrent_cell import CELLS, Cell
from kbackend_numba.kernels.recurrent_rows import VECTORS

FORWARD_NAMES = ("panels", "w", "r", "b"), ("features", "units")
BACK_NAMES = ("panels", "w"), ("rows", "units", "groups")


def write_forward_panels(code: Code, cell: str, dtype: str) -> None:
    """Writes the function of `FORWARD_NAMES`. Items are groups of units.

    A group has a panel for each pass of the cell: for each number of the state, then for each
    input, the weights of the blocks side by side, and in the end their biases.
    """
    made = CELLS[cell]
    span = made.span
    lanes = code.target.lanes(4 if dtype == "float32" else 8)
    w, r, b = [code.array(1 + i) for i in range(3)]
    features, units = code.size(0), code.size(1)
    row = units * len(made.inputs())

    zeros = [code.number(0.0, dtype, lanes)] * span

    def load(source: Address, place: Value, block: int) -> list[Value]:
        """What belongs to a block, of the weights that begin at `place`."""
        vectors = [s * lanes for s in range(span)]
        return [
            code.load(source, units * block + place + s, dtype, lanes, code.first(left - s, lanes))
            for s in vectors
        ]

    with code.loop(code.begin, code.end) as item:
        first = item * (span * lanes)
        left = units - first
        target = code.var(item * _group_size(made, features, units, lanes))

        def put(values: list[Value]) -> None:
            for k, value in enumerate(values):
                code.store(value, code.array(0), target.value + k * lanes)
            target.set(target.value + len(values) * lanes)

        for blocks in made.passes:
            for source, count, own in (
                (r, units, made.recurrent(blocks)), (w, features, made.inputs(blocks)),
            ):  # fmt: skip
                with code.loop(0, count) as k:
                    put([v for block in own for v in load(source, k * row + first, block)])
            for block in blocks:
                i, j = made.layout[block]
                biases = [] if i is None else load(b, first, i)
                # A second row of biases belongs to the state.
                if made.two_biases and j is not None:
                    more = load(b, row + first, j)
                    biases = [a + c for a, c in zip(biases or zeros, more, strict=True)]
                put(biases)


def _group_size(cell: Cell, features: Value, units: Value, lanes: int) -> Value:
    """Elements of a group's panels."""
    recurrent, inputs = [len(own()) for own in (cell.recurrent, cell.inputs)]
    return (units * recurrent + features * inputs + cell.blocks) * (cell.span * lanes)


def write_back_panels(code: Code, blocks: tuple[int, ...], span: int, dtype: str) -> None:
    """Writes the function of `BACK_NAMES`. Items are panels.

    A panel has what the sums' cotangents are multiplied by for a few rows of the weights, which
    are its columns: group of units by group, block by block, unit by unit.
    """
    lanes = code.target.lanes(4 if dtype == "float32" else 8)
    panels, w = code.array(0), code.array(1)
    rows, units, groups = [code.size(i) for i in range(3)]
    width, depth = VECTORS * lanes, len(blocks) * span * lanes
    with (
        code.loop(code.begin, code.end) as item,
        code.loop(0, groups) as group,
        code.loop(0, VECTORS) as j,
        code.loop(0, len(blocks)) as k,
    ):
        first = item * width + j * lanes
        panel = (item * groups + group) * (depth * width) + j * lanes
        block = code.number(blocks[0])
        for i, other in enumerate(blocks):
            block = code.select(k >= i, code.number(other), block)
        for s in range(span):
            unit = (group * span + s) * lanes
            mask = code.first(units - unit, lanes)
            square = [
                code.load(
                    w, (first + i) * (units * len(blocks)) + units * block + unit,
                    dtype, lanes, mask & code.splat(first + i < rows, lanes),
                )
                for i in range(lanes)
            ]  # fmt: skip
            for i, column in enumerate(transposed(code, square)):
                place = panel + ((k * span + s) * lanes + i) * width
                code.store(column, panels, place)
