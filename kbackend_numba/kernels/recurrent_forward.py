"""The code that runs a recurrent layer over a sequence.

An item is a few examples, through all steps. A step goes through groups of units. The weights that
make up the sums of a group are panels, which were packed before; the examples of a block use them
while they are in the first cache. Inputs and state are summed up in the same registers, then the
cell makes of the sums the new states of the group.

The output is `(examples, units)` in each step, because the next step's products read it so. The
rest lies as it is written, group by group; see `Kept`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.tile import Tile
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.codegen.vectors import each_vector
from kbackend_numba.kernels.recurrent_cell import CELLS
from kbackend_numba.kernels.recurrent_rows import Rows, part

ARRAYS = ("x", "first_c", "panels", "sums", "hidden", "cells", "gates", "out", "h", "c")
SIZES = (
    "batch",
    "main", "high",  # tiles of examples; see `Rows`
    "tiles_block",  # tiles that go through all steps together
    "time",
    "features",
    "units",
    "groups",  # of units
    "slots",  # bits of the number of a step that count: one of two, or all
    # Elements to the first step's input, from one example to the next, from one step to the next.
    "x", "x_example", "x_step",
    "out_example", "out_step",
)  # fmt: skip


class Form(NamedTuple):
    """What the code depends on.

    Attributes:
        cell: name of the cell.
        tail: whether the last group is not full.
        keep: whether to write what the gradient needs.
        dtype: of all arrays.
    """

    cell: str
    tail: bool
    keep: bool
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


def write_forward(code: Code, form: Form) -> None:
    """Writes the function that does the items."""
    _Forward(code, form).write()


class _Forward:
    def __init__(self, code: Code, form: Form) -> None:
        self.code, self.form, self.cell = code, form, CELLS[form.cell]
        self.array = {name: code.array(i) for i, name in enumerate(ARRAYS)}
        self.size = {name: code.size(i) for i, name in enumerate(SIZES)}
        self.lanes = code.target.lanes(4 if form.dtype == "float32" else 8)
        self.width = self.cell.span * self.lanes
        # Of one example's sums of a group.
        self.row = self.cell.blocks * self.width
        self.rows = Rows(code, *[self.size[name] for name in ("batch", "main", "high")])

    def write(self) -> None:
        code, size = self.code, self.size
        with code.loop(code.begin, code.end, size["tiles_block"]) as begin:
            end = code.minimum(begin + size["tiles_block"], code.end)
            first, stop = self.rows.start(begin), self.rows.start(end)
            if self.cell.states > 1:
                self._cells(first, stop, code.number(0), "first_c", False)
            with code.loop(0, size["time"]) as step, code.loop(0, size["groups"]) as group:
                self.rows.each(begin, end, lambda rows: self._group(rows, step, group))
            self._outputs(first, stop)
            if self.cell.states > 1:
                self._cells(first, stop, size["time"], "c", True)

    def _group(self, rows: list[Value], step: Value, group: Value) -> None:
        """A step of a few examples and a group of units."""
        panel = group * self._panel_size(range(self.cell.blocks))
        for blocks in self.cell.passes:
            self._sum(rows, blocks, panel, step)
            panel = panel + self._panel_size(blocks)
        with self.code.loop(rows[0], rows[-1] + 1) as example:
            for s in range(self.cell.span):
                self._finish(example, step, group, s)

    def _slot(self, name: str, step: Value) -> Address:
        """The states before a step."""
        size = self.size
        place = (step & size["slots"]) * (size["batch"] * size["units"])
        return self.code.offset(self.array[name], place, self.form.dtype)

    def _panel_size(self, blocks: Sequence[int]) -> Value:
        """Elements of the panel of some blocks of a group."""
        recurrent, inputs = len(self.cell.recurrent(blocks)), len(self.cell.inputs(blocks))
        rows = self.size["units"] * recurrent + self.size["features"] * inputs
        return (rows + len(blocks)) * self.width

    def _sum(self, rows: list[Value], blocks: Sequence[int], panel: Value, step: Value) -> None:
        """Sums up some blocks of a group: first come the biases, then the state, then inputs."""
        code, size, dtype, span = self.code, self.size, self.form.dtype, self.cell.span
        recurrent, inputs = len(self.cell.recurrent(blocks)), len(self.cell.inputs(blocks))
        from_state = code.offset(self.array["panels"], panel, dtype)
        from_x = code.offset(from_state, size["units"] * (recurrent * self.width), dtype)
        bias = code.offset(from_x, size["features"] * (inputs * self.width), dtype)
        tile = Tile(code, len(rows), len(blocks) * span, dtype)
        tile.load(bias, [0] * len(rows), [None] * tile.vectors)
        part(tile, tile.vectors - recurrent * span, tile.vectors).accumulate(
            self._slot("hidden", step), [row * size["units"] for row in rows], 1,
            from_state, recurrent * self.width, size["units"],
        )  # fmt: skip
        part(tile, 0, inputs * span).accumulate(
            code.offset(self.array["x"], size["x"] + step * size["x_step"], dtype),
            [row * size["x_example"] for row in rows], 1,
            from_x, inputs * self.width, size["features"],
        )  # fmt: skip
        for row, totals in zip(rows, tile.sums, strict=True):
            for k, block in enumerate(blocks):
                for s in range(span):
                    place = row * self.row + (block * span + s) * self.lanes
                    code.store(totals[k * span + s].value, self.array["sums"], place)

    def _finish(self, example: Value, step: Value, group: Value, s: int) -> None:
        """From the sums of one example to its states, for one vector of units."""
        code, size, form, cell, lanes = self.code, self.size, self.form, self.cell, self.lanes
        unit = group * self.width + s * lanes
        mask = code.first(size["units"] - unit, lanes) if form.tail else None
        kept = Kept(code, size["batch"], size["units"], self.width, form.tail, group)
        places = [example * size["units"] + unit, kept.place(example, 1, 0) + s * lanes]
        row = example * self.row
        sums = [
            code.load(self.array["sums"], row + (k * cell.span + s) * lanes, form.dtype, lanes)
            for k in range(cell.blocks)
        ]
        names = ("hidden", "cells")[: cell.states]
        before = [
            code.load(self._slot(name, step), place, form.dtype, lanes, mask)
            for name, place in zip(names, places, strict=False)
        ]
        states, gates = cell.forward(code, sums, before)
        for name, place, value in zip(names, places, states, strict=False):
            code.store(value, self._slot(name, step + 1), place, mask)
        place = example * size["out_example"] + step * size["out_step"] + unit
        code.store(states[0], self.array["out"], place, mask)
        if form.keep:
            first = step * (size["batch"] * size["units"] * cell.kept)
            for k, value in enumerate(gates):
                place = first + kept.place(example, cell.kept, k) + s * lanes
                code.store(value, self.array["gates"], place, mask)

    def _outputs(self, first: Value, stop: Value) -> None:
        """Writes the last outputs of some examples."""
        code, dtype, lanes, units = self.code, self.form.dtype, self.lanes, self.size["units"]
        hidden = self._slot("hidden", self.size["time"])

        def copy(at: Value, mask: Value | None) -> None:
            place = first * units + at
            code.store(code.load(hidden, place, dtype, lanes, mask), self.array["h"], place, mask)

        each_vector(code, (stop - first) * units, lanes, copy)

    def _cells(self, first: Value, stop: Value, step: Value, name: str, back: bool) -> None:
        """Copies the cells of some examples before a step from an array or, if `back`, to it."""
        code, size, dtype, lanes = self.code, self.size, self.form.dtype, self.lanes
        with code.loop(0, size["groups"]) as group, code.loop(first, stop) as example:
            kept = Kept(code, size["batch"], size["units"], self.width, self.form.tail, group)
            for s in range(self.cell.span):
                unit = group * self.width + s * lanes
                mask = code.first(size["units"] - unit, lanes) if self.form.tail else None
                ends = [
                    (self.array[name], example * size["units"] + unit),
                    (self._slot("cells", step), kept.place(example, 1, 0) + s * lanes),
                ]
                (source, there), (target, here) = reversed(ends) if back else ends
                code.store(code.load(source, there, dtype, lanes, mask), target, here, mask)
