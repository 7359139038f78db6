"""The code that runs a recurrent layer over a sequence.

A step goes through groups of units. The weights that make up the sums of a group are panels, which
were packed before; the examples of a block use them while they are in the first cache. Inputs and
state are summed up in the same registers, then the cell makes of the sums the new states of the
group.

An item is a few examples, through all steps of the call. Where there are too few examples for all
threads, items are groups of units instead, and each step is a call of its own.

The output is `(examples, units)` in each step, because the next step's products read it so. The
rest lies as it is written, group by group; see `Kept`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.names import Names
from kbackend_numba.codegen.tile import Tile
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.kernels.recurrent_cell import CELLS
from kbackend_numba.kernels.recurrent_rows import Rows, Some, part

ARRAYS = (
    "x", "first_c", "panels", "sums", "hidden", "cells", "gates", "out", "h", "c", "mask",
)  # fmt: skip
SIZES = (
    "batch",
    "tiles", "main", "high",  # of examples; see `Rows`
    "tiles_block",  # tiles that go through all steps together
    "first", "last",  # steps
    "time",  # steps of the whole sequence
    "features",
    "units",
    "groups",  # of units
    "block",  # rows of panels that fit into the first cache
    "slots",  # bits of the number of a step that count: one of two, or all
    # Elements to the first step's input, from one example to the next, from one step to the next.
    "x_first", "x_example", "x_step",
    "state_example",
    "out_example", "out_step",
    "mask_first", "mask_example", "mask_step",  # as for the input
)  # fmt: skip


class Form(NamedTuple):
    """What the code depends on.

    Attributes:
        cell: name of the cell.
        tail: whether the last group is not full.
        keep: whether to write what the gradient needs.
        by_units: whether items are groups of units.
        masked: whether there is a mask; see `kbackend.ops.nn.rnn`.
        dtype: of all arrays.
    """

    cell: str
    tail: bool
    keep: bool
    by_units: bool
    masked: bool
    dtype: str


class Kept:
    """Where a group's vectors are in what is kept of a step: group by group, in each of these
    example by example, of that block by block. The last group takes no more room than it needs.

    Args:
        code: where to write.
        batch: how many examples.
        units: how many units.
        width: units of a full group.
        tail: whether the last group is not full.
        group: number of the group.
    """

    def __init__(
        self, code: Code, batch: Value, units: Value, width: int, tail: bool, group: Value
    ) -> None:
        self._before = group * width * batch
        self._width = code.minimum(units - group * width, width) if tail else width

    def place(self, example: Value, blocks: int, block: int) -> Value:
        """Elements to one of an example's blocks."""
        return (self._before + example * self._width) * blocks + self._width * block


def live(
    code: Code, array: Callable[[str], Address], size: Callable[[str], Value], example: Value,
    step: Value, lanes: int,
) -> Value:  # fmt: skip
    """Whether the mask of an example is true in a step, in all lanes."""
    place = size("mask_first") + example * size("mask_example") + step * size("mask_step")
    return code.splat(code.load(array("mask"), place, "bool"), lanes)


def write_forward(code: Code, form: Form) -> None:
    """Writes the function that does the items."""
    _Forward(code, form).write()


class _Forward:
    def __init__(self, code: Code, form: Form) -> None:
        self.code, self.form, self.cell = code, form, CELLS[form.cell]
        names = Names(code, ARRAYS, SIZES)
        self.array, self.size = names.array, names.size
        self.lanes = code.target.lanes(4 if form.dtype == "float32" else 8)
        self.width = self.cell.span * self.lanes
        # Of one example's sums of a group.
        self.row = self.cell.blocks * self.width
        # Where each block is in it: in the order of the passes.
        order = [block for blocks in self.cell.passes for block in blocks]
        self.places = {block: i * self.width for i, block in enumerate(order)}
        self.rows = Rows(code, *[self.size(name) for name in ("batch", "main", "high")])

    def write(self) -> None:
        code, size = self.code, self.size
        if self.form.by_units:
            self._steps(code.begin, code.end, code.number(0), size("tiles"))
            return
        with code.loop(code.begin, code.end, size("tiles_block")) as begin:
            end = code.minimum(begin + size("tiles_block"), code.end)
            self._steps(code.number(0), size("groups"), begin, end)

    def _steps(self, first: Value, last: Value, begin: Value, end: Value) -> None:
        """All steps, for the groups from `first` up to `last` and tiles from `begin` to `end`."""
        code, size = self.code, self.size
        rows = size("units") + size("features")
        with (
            code.loop(size("first"), size("last")) as step,
            code.loop(first, last) as group,
            code.loop(0, rows, size("block")) as k,
        ):
            behind = k + size("block")

            def write(examples: Some) -> None:
                panel = code.var(group * self._panel_size(range(self.cell.blocks)))
                for passes in self._alike():
                    with code.loop(0, len(passes)) as number:
                        place = self.places[passes[0][0]] + number * (len(passes[0]) * self.width)
                        self._sum(examples, passes[0], place, group, panel.value, step, k, behind)
                        panel.set(panel.value + self._panel_size(passes[0]))

            def finish(*examples: Value) -> None:
                # The registers that it needs must not be taken from the sums.
                values = *examples, step, group
                with code.when(behind >= rows), code.apart(*values) as inside:
                    self._finish_all(*inside)

            self.rows.each(begin, end, write, finish)

    def _alike(self) -> list[list[tuple[int, ...]]]:
        """The passes, those together that can go through the same code."""

        def kind(blocks: Sequence[int]) -> tuple[int, ...]:
            return len(blocks), len(self.cell.inputs(blocks)), len(self.cell.recurrent(blocks))

        return [list(own) for _, own in groupby(self.cell.passes, kind)]

    def _slot(self, name: str, step: Value) -> Address:
        """The states before a step."""
        size = self.size
        place = (step & size("slots")) * (size("batch") * size("units"))
        return self.code.offset(self.array(name), place, self.form.dtype)

    def _sums(self, group: Value) -> Address:
        """Where the sums of a group are; those that are made at the same time lie apart."""
        place = group * self.size("batch") * self.row if self.form.by_units else 0
        return self.code.offset(self.array("sums"), place, self.form.dtype)

    def _panel_size(self, blocks: Sequence[int]) -> Value:
        """Elements of the panel of some blocks of a group."""
        recurrent, inputs = len(self.cell.recurrent(blocks)), len(self.cell.inputs(blocks))
        rows = self.size("units") * recurrent + self.size("features") * inputs
        return (rows + len(blocks)) * self.width

    def _sum(
        self, examples: Some, blocks: Sequence[int], own: Value, group: Value, panel: Value,
        step: Value, k: Value, behind: Value,
    ) -> None:  # fmt: skip
        """Adds to the sums of some blocks of a group, which are at `own` in an example's, what
        comes from the numbers from `k` up to `behind` of the state, followed by the inputs. They
        begin with the biases."""
        code, size, dtype, span = self.code, self.size, self.form.dtype, self.cell.span
        recurrent, inputs = [
            len(own(blocks)) * self.width for own in (self.cell.recurrent, self.cell.inputs)
        ]
        units, features = size("units"), size("features")
        tile = Tile(code, len(examples.after), len(blocks) * span, dtype)
        place, sums_rows = examples.times(self.row)
        # Sums lie in the order of the passes.
        sums = code.offset(self._sums(group), place + own, dtype)
        bias = code.offset(
            self.array("panels"), panel + units * recurrent + features * inputs, dtype
        )
        _, begun_rows = examples.times(code.select(k > 0, self.row, code.number(0)))
        tile.load(code.choose(k > 0, sums, bias), begun_rows, [None] * tile.vectors)
        stop = code.minimum(behind, units)
        place, state_rows = examples.times(size("state_example"))
        part(tile, tile.vectors - recurrent // self.lanes, tile.vectors).accumulate(
            code.offset(self._slot("hidden", step), k + place, dtype), state_rows, 1,
            code.offset(self.array("panels"), panel + k * recurrent, dtype), recurrent, stop - k,
        )  # fmt: skip
        start = code.maximum(k - units, 0)
        place, x_rows = examples.times(size("x_example"))
        x = size("x_first") + step * size("x_step") + start + place
        w = panel + units * recurrent + start * inputs
        part(tile, 0, inputs // self.lanes).accumulate(
            code.offset(self.array("x"), x, dtype), x_rows, 1,
            code.offset(self.array("panels"), w, dtype), inputs,
            code.minimum(behind - units, features) - start,
        )  # fmt: skip
        tile.store(sums, sums_rows, [None] * tile.vectors)

    def _finish_all(self, first: Value, behind: Value, step: Value, group: Value) -> None:
        """From the sums of some examples to their states."""
        with self.code.loop(first, behind) as example:
            for s in range(self.cell.span):
                self._finish(example, step, group, s)

    def _finish(self, example: Value, step: Value, group: Value, s: int) -> None:
        """From the sums of one example to its states, for one vector of units."""
        code, size, form, cell, lanes = self.code, self.size, self.form, self.cell, self.lanes
        unit = group * self.width + s * lanes
        mask = code.first(size("units") - unit, lanes) if form.tail else None

        def load(array: Address, place: Value) -> Value:
            return code.load(array, place, form.dtype, lanes, mask)

        kept = Kept(code, size("batch"), size("units"), self.width, form.tail, group)
        place, cell_place = example * size("units") + unit, kept.place(example, 1, 0) + s * lanes
        row = example * self.row + s * lanes
        sums = [
            code.load(self._sums(group), row + self.places[block], form.dtype, lanes)
            for block in range(cell.blocks)
        ]
        states = [load(self._slot("hidden", step), place)]
        if cell.states > 1:
            before = code.var(load(self._slot("cells", step), cell_place))
            with code.when(step.equals(0)):
                before.set(load(self.array("first_c"), place))
                if form.keep:
                    code.store(before.value, self.array("cells"), cell_place, mask)
            states.append(before.value)
        found, gates = cell.forward(code, sums, states)
        if form.masked:
            alive = live(code, self.array, self.size, example, step, lanes)
            found = [code.select(alive, a, b) for a, b in zip(found, states, strict=True)]
        states = found
        code.store(states[0], self._slot("hidden", step + 1), place, mask)
        if cell.states > 1:
            code.store(states[1], self._slot("cells", step + 1), cell_place, mask)
        out_place = example * size("out_example") + step * size("out_step") + unit
        code.store(states[0], self.array("out"), out_place, mask)
        with code.when((step + 1).equals(size("time"))):
            for name, state in zip(("h", "c"), states, strict=False):
                code.store(state, self.array(name), place, mask)
        if form.keep:
            first = step * (size("batch") * size("units") * cell.kept)
            for k, value in enumerate(gates):
                gate_place = first + kept.place(example, cell.kept, k) + s * lanes
                code.store(value, self.array("gates"), gate_place, mask)
