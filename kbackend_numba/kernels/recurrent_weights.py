"""The code that makes the gradients of recurrent layers' weights from the cotangents of their sums.

The sums' cotangents of some examples in some steps are read while they are in the first cache: by
all tiles of the kernel's gradient, then by those of the recurrent kernel's, then for the biases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.tile import Tile
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.kernels.recurrent_cell import CELLS
from kbackend_numba.kernels.recurrent_rows import VECTORS, Rows

ARRAYS = ("dw", "dr", "db", "x", "hidden", "sums")
SIZES = (
    "features",
    # Tiles of the kernel's rows, none if they are not wanted; see `Rows`.
    "features_tiles", "features_main", "features_high",
    "units",
    "units_tiles", "units_main", "units_high",  # of the recurrent kernel's rows
    "biases",  # 1 if they are wanted, else 0
    "groups",  # of units
    "batch",
    "steps",
    "batch_block", "steps_block",  # examples and steps that fit into the first cache
    # Elements to the first step's input, from one example to the next, from one step to the next.
    "x", "x_example", "x_step",
    "hidden",  # elements to the first step's state
    "add",  # 1 to add to what the results hold
)  # fmt: skip


def write_gradients(code: Code, cell: str, dtype: str) -> None:
    """Writes the function whose items are tiles of the gradients, group of units by group."""
    _Gradients(code, cell, dtype).write()


class _Part(NamedTuple):
    """One of the gradients that are products.

    Attributes:
        out: where it is.
        rows: its rows.
        x: numbers that belong to the rows, of the first example in the first step.
        x_example: elements from one example to the next.
        x_step: elements from one step to the next.
        blocks: which block of it each block of sums is.
        past: how many blocks of sums come before these.
    """

    out: Address
    rows: Rows
    x: Address
    x_example: Value
    x_step: Value
    blocks: Sequence[int]
    past: int


class _Run(NamedTuple):
    """Examples in some steps.

    Attributes:
        group: of units.
        first: step.
        last: step, behind the last one.
        example: the first one.
        examples: how many.
        begun: whether the results hold what came before.
    """

    group: Value
    first: Value
    last: Value
    example: Value
    examples: Value
    begun: Value


class _Gradients:
    def __init__(self, code: Code, cell: str, dtype: str) -> None:
        self.code, self.cell, self.dtype = code, CELLS[cell], dtype
        array = [code.array(i) for i in range(len(ARRAYS))]
        dw, dr, self.db, x, hidden, self.sums = array
        self.size = size = {name: code.size(i) for i, name in enumerate(SIZES)}
        self.lanes = code.target.lanes(4 if dtype == "float32" else 8)
        self.width = self.cell.span * self.lanes
        # Of one example's sums in a group.
        self.row = self.cell.blocks * self.width
        every = range(self.cell.blocks)
        inputs, recurrent = self.cell.inputs(every), self.cell.recurrent(every)
        self.kernel = _Part(
            dw, Rows(code, *[size[f"features{s}"] for s in ("", "_main", "_high")]),
            code.offset(x, size["x"], dtype), size["x_example"], size["x_step"], inputs, 0,
        )  # fmt: skip
        self.recurrent = _Part(
            dr, Rows(code, *[size[f"units{s}"] for s in ("", "_main", "_high")]),
            code.offset(hidden, size["hidden"], dtype), size["units"],
            size["batch"] * size["units"], recurrent, self.cell.blocks - len(recurrent),
        )  # fmt: skip

    def write(self) -> None:
        code, size = self.code, self.size
        tiles = size["features_tiles"] + size["units_tiles"] + size["biases"]
        with code.loop(code.begin // tiles, (code.end + tiles - 1) // tiles) as group:
            begin = code.maximum(code.begin - group * tiles, 0)
            end = code.minimum(code.end - group * tiles, tiles)
            with (
                code.loop(0, size["steps"], size["steps_block"]) as first,
                code.loop(0, size["batch"], size["batch_block"]) as example,
            ):
                last = code.minimum(first + size["steps_block"], size["steps"])
                count = code.minimum(size["batch_block"], size["batch"] - example)
                begun = first + example + size["add"] > 0
                self._add(begin, end, _Run(group, first, last, example, count, begun))

    def _add(self, begin: Value, end: Value, run: _Run) -> None:
        """Adds what a run gives to the tiles from `begin` up to `end`."""
        code, size = self.code, self.size
        before = code.number(0)
        for part, tiles in (
            (self.kernel, size["features_tiles"]), (self.recurrent, size["units_tiles"]),
        ):  # fmt: skip
            start, stop = code.maximum(begin - before, 0), code.minimum(end - before, tiles)
            for at in range(0, len(part.blocks) * self.cell.span, VECTORS):

                def write(numbers: list[Value], part: _Part = part, at: int = at) -> None:
                    self._tile(part, numbers, at, run)

                part.rows.each(start, stop, write)
            before = before + tiles
        with code.when(end > before):
            self._biases(run)

    def _sums_at(self, run: _Run, step: Value) -> Value:
        """Elements to a run's sums in a step."""
        size = self.size
        group = step * size["groups"] + run.group
        return (group * size["batch"] + run.example) * self.row

    def _masks(self, group: Value) -> list[Value]:
        """Which units of a group there are, vector by vector."""
        left = self.size["units"] - group * self.width
        return [self.code.first(left - s * self.lanes, self.lanes) for s in range(self.cell.span)]

    def _tile(self, part: _Part, numbers: list[Value], at: int, run: _Run) -> None:
        """Adds what a run gives to some rows of a gradient, in the vectors from `at` on."""
        code, dtype, span, units = self.code, self.dtype, self.cell.span, self.size["units"]
        vectors = range(at, min(at + VECTORS, len(part.blocks) * span))
        masks = self._masks(run.group)
        row = units * len(part.blocks)
        tile = Tile(code, len(numbers), len(vectors), dtype)
        places = []
        for number, totals in zip(numbers, tile.sums, strict=True):
            for k, total in zip(vectors, totals, strict=True):
                column = units * part.blocks[k // span] + k % span * self.lanes
                place = number * row + run.group * self.width + column
                places.append((total, place, masks[k % span]))
        with code.when(run.begun):
            for total, place, mask in places:
                total.set(code.load(part.out, place, dtype, self.lanes, mask))
        past = part.past * self.width + at * self.lanes
        with code.loop(run.first, run.last) as step:
            tile.accumulate(
                code.offset(part.x, step * part.x_step + run.example * part.x_example, dtype),
                numbers, part.x_example,
                code.offset(self.sums, self._sums_at(run, step) + past, dtype), self.row,
                run.examples,
            )  # fmt: skip
        for total, place, mask in places:
            code.store(total.value, part.out, place, mask)

    def _biases(self, run: _Run) -> None:
        """Adds what a run gives to the biases."""
        code, dtype, lanes, units = self.code, self.dtype, self.lanes, self.size["units"]
        masks = self._masks(run.group)
        zero = code.number(0.0, dtype, lanes)
        state_row = len(self.kernel.blocks)
        totals = []
        for k, (i, j) in enumerate(self.cell.layout):
            # The biases that belong to the block.
            blocks = [] if i is None else [i]
            if self.cell.two_biases and j is not None:
                blocks.append(state_row + j)
            for s in range(self.cell.span):
                first = run.group * self.width + s * lanes
                places = [units * block + first for block in blocks]
                own = (k * self.cell.span + s) * lanes
                totals.append((code.var(zero), own, places, masks[s]))
        with code.when(run.begun):
            for total, _, places, mask in totals:
                total.set(code.load(self.db, places[0], dtype, lanes, mask))
        with code.loop(run.first, run.last) as step, code.loop(0, run.examples) as example:
            row = self._sums_at(run, step) + example * self.row
            for total, own, _, _ in totals:
                total.set(total.value + code.load(self.sums, row + own, dtype, lanes))
        for total, _, places, mask in totals:
            for place in places:
                code.store(total.value, self.db, place, mask)
