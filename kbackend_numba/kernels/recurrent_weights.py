"""The code that makes the gradients of recurrent layers' weights from the cotangents of their sums.

Examples and steps are one dimension here, that of the sums' rows. What a tile multiplies them by is
packed before, as a strip: row by row the numbers that belong to the tile's rows. A few rows of
sums are read while they are in the first cache: by all tiles of the kernel's gradient, then by
those of the recurrent kernel's, then for the biases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.names import Names
from kbackend_numba.codegen.tile import Tile
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.kernels.recurrent_cell import CELLS
from kbackend_numba.kernels.recurrent_rows import VECTORS, Rows, Some

ARRAYS = ("dw", "dr", "db", "inputs", "states", "sums")
SIZES = (
    # Rows of the kernel, and their tiles, none if the gradient is not wanted; see `Rows`.
    "features", "features_tiles", "features_main", "features_high",
    "units", "units_tiles", "units_main", "units_high",  # the same for the recurrent kernel
    "biases",  # 1 if they are wanted, else 0
    "groups",  # of units
    "rows",  # of sums
    "room",  # rows from one group's sums to the next one's, and from strip to strip
    "block",  # rows that fit into the first cache
    "add",  # 1 to add to what the results hold
)  # fmt: skip
STRIP_ARRAYS = ("strips", "x")
STRIP_SIZES = (
    "count", "main", "high",  # numbers of an example, as rows of tiles
    "batch", "steps", "room",
    # Elements to the first step's numbers, from one example to the next, from one step to the next.
    "x_first", "x_example", "x_step",
)  # fmt: skip

# Examples whose numbers are read one tile after the other, so that memory is read in its order.
_NEAR = 16


def write_strips(code: Code, dtype: str) -> None:
    """Writes the function that packs strips. Items are tiles."""
    lanes = code.target.lanes(4 if dtype == "float32" else 8)
    size = Names(code, STRIP_ARRAYS, STRIP_SIZES).size
    rows = Rows(code, size("count"), size("main"), size("high"))

    def write(numbers: Some, step: Value, begin: Value) -> None:
        """What belongs to a tile, of some examples in a step."""
        height = len(numbers.after)
        strip = numbers.first * size("room") + step * size("batch") * height
        target = code.offset(code.array(0), strip, dtype)
        source = size("x_first") + step * size("x_step") + numbers.first
        x = code.offset(code.array(1), source, dtype)
        with code.loop(begin, code.minimum(begin + _NEAR, size("batch"))) as example:
            here, there = example * size("x_example"), example * height
            if isinstance(numbers.after[0], Value):
                for i, after in enumerate(numbers.after):
                    code.store(code.load(x, here + after, dtype), target, there + i)
                return
            for i in range(0, height, lanes):
                mask = code.first(code.number(height - i), lanes)
                code.store(code.load(x, here + i, dtype, lanes, mask), target, there + i, mask)

    with code.loop(0, size("steps")) as step, code.loop(0, size("batch"), _NEAR) as begin:
        rows.each(code.begin, code.end, lambda numbers: write(numbers, step, begin))


def write_gradients(code: Code, cell: str, dtype: str) -> None:
    """Writes the function whose items are tiles of the gradients, group of units by group."""
    _Gradients(code, cell, dtype).write()


class _Part(NamedTuple):
    """One of the gradients that are products.

    Attributes:
        out: where it is.
        strips: what it is made from.
        blocks: which block of it each block of sums is.
        past: elements of sums that come before these.
    """

    out: Address
    strips: Address
    blocks: Sequence[Value]
    past: Value


class _Run(NamedTuple):
    """Rows of a group's sums.

    Attributes:
        group: of units.
        first: the first row.
        length: how many.
        begun: whether the results hold what came before.
    """

    group: Value
    first: Value
    length: Value
    begun: Value


class _Gradients:
    def __init__(self, code: Code, cell: str, dtype: str) -> None:
        self.code, self.cell, self.dtype = code, CELLS[cell], dtype
        names = Names(code, ARRAYS, SIZES)
        self.array, self.size = names.array, names.size
        self.lanes = code.target.lanes(4 if dtype == "float32" else 8)
        self.width = self.cell.span * self.lanes
        # Of one example's sums in a group.
        self.row = self.cell.blocks * self.width

    def write(self) -> None:
        code, size = self.code, self.size
        tiles = size("features_tiles") + size("units_tiles") + size("biases")
        with code.loop(code.begin // tiles, (code.end + tiles - 1) // tiles) as group:
            begin = code.maximum(code.begin - group * tiles, 0)
            end = code.minimum(code.end - group * tiles, tiles)
            with code.loop(0, size("rows"), size("block")) as first:
                length = code.minimum(size("block"), size("rows") - first)
                self._add(begin, end, _Run(group, first, length, first + size("add") > 0))

    def _add(self, begin: Value, end: Value, run: _Run) -> None:
        """Adds what a run gives to the tiles from `begin` up to `end`."""
        code, size = self.code, self.size
        inputs, recurrent = self.cell.inputs(), self.cell.recurrent()
        # Both gradients go through the same code.
        with code.loop(0, 2) as number:
            second = number > 0
            past = (self.cell.blocks - len(recurrent)) * self.width
            part = _Part(
                code.choose(second, self.array("dr"), self.array("dw")),
                code.choose(second, self.array("states"), self.array("inputs")),
                [self._one_of(second, i, j) for i, j in zip(inputs, recurrent, strict=True)],
                self._one_of(second, 0, past),
            )
            count, tiles, main, high = [
                code.select(second, size(f"units{n}"), size(f"features{n}"))
                for n in ("", "_tiles", "_main", "_high")
            ]
            before = code.select(second, size("features_tiles"), code.number(0))
            start, stop = code.maximum(begin - before, 0), code.minimum(end - before, tiles)
            Rows(code, count, main, high).each(
                start, stop, lambda numbers: self._tiles(part, numbers, run)
            )
        with code.when(end > size("features_tiles") + size("units_tiles")):
            self._biases(run)

    def _one_of(self, second: Value, a: int, b: int) -> Value:
        return self.code.select(second, self.code.number(b), self.code.number(a))

    def _tiles(self, part: _Part, numbers: Some, run: _Run) -> None:
        """The tiles of some rows, one after the other, while the strip is near."""
        code, span = self.code, self.cell.span
        vectors = [(block, s) for block in part.blocks for s in range(span)]
        full = len(vectors) // VECTORS
        with code.loop(0, full) as number:
            own = []
            for k in range(VECTORS):
                block, s = vectors[k]
                for i in range(1, full):
                    block = code.select(number >= i, vectors[i * VECTORS + k][0], block)
                own.append((block, s))
            self._tile(part, numbers, number * (VECTORS * self.lanes), own, run)
        if len(vectors) % VECTORS:
            at = code.number(full * VECTORS * self.lanes)
            self._tile(part, numbers, at, vectors[full * VECTORS :], run)

    def _sums(self, run: _Run) -> Value:
        """Elements to a run's sums."""
        return (run.group * self.size("room") + run.first) * self.row

    def _masks(self, group: Value) -> list[Value]:
        """Which units of a group there are, vector by vector."""
        left = self.size("units") - group * self.width
        return [self.code.first(left - s * self.lanes, self.lanes) for s in range(self.cell.span)]

    def _tile(
        self, part: _Part, numbers: Some, at: Value, vectors: list[tuple[Value, int]], run: _Run
    ) -> None:
        """Adds what a run gives to some rows of a gradient.

        Args:
            part: which gradient.
            numbers: of the rows.
            at: elements of sums that come before the vectors.
            vectors: the block of each, and which vector of it.
            run: what is added.
        """
        code, dtype, units = self.code, self.dtype, self.size("units")
        masks, height = self._masks(run.group), len(numbers.after)
        tile = Tile(code, height, len(vectors), dtype)
        first, rows = numbers.times(units * len(part.blocks))
        out = code.offset(part.out, first + run.group * self.width, dtype)
        places = [
            (total, place + (units * block + s * self.lanes), masks[s])
            for place, totals in zip(rows, tile.sums, strict=True)
            for (block, s), total in zip(vectors, totals, strict=True)
        ]
        with code.when(run.begun):
            for total, place, mask in places:
                total.set(code.load(out, place, dtype, self.lanes, mask))
        strip = numbers.first * self.size("room") + run.first * height
        sums = self._sums(run) + part.past + at
        tile.accumulate(
            code.offset(part.strips, strip, dtype), range(height), height,
            code.offset(self.array("sums"), sums, dtype), self.row, run.length,
        )  # fmt: skip
        for total, place, mask in places:
            code.store(total.value, out, place, mask)

    def _biases(self, run: _Run) -> None:
        """Adds what a run gives to the biases."""
        code, dtype, lanes, units = self.code, self.dtype, self.lanes, self.size("units")
        db, masks, zero = self.array("db"), self._masks(run.group), code.number(0.0, dtype, lanes)
        state_row = len(self.cell.inputs())
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
                total.set(code.load(db, places[0], dtype, lanes, mask))
        sums = code.offset(self.array("sums"), self._sums(run), dtype)
        with code.loop(0, run.length) as row:
            for total, own, _, _ in totals:
                place = row * self.row + own
                total.set(total.value + code.load(sums, place, dtype, lanes))
        for total, _, places, mask in totals:
            for place in places:
                code.store(total.value, db, place, mask)
