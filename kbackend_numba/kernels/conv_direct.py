"""Convolution, and its gradient in the input, as sums of products in registers.

Both are passes over positions: each reads a window of a source by taps, sums up the products with
filters, and writes to every so many elements of the result. The forward convolution is one pass.
The gradient in the input has one for each remainder of the positions by the strides, see
`phases_of`.

A tile holds the results of some positions, anywhere in the block, for a panel of filters. Taps
whose elements lie side by side are one run; the offsets of positions and runs come from tables
among the sizes, so that one compiled function does all shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby, product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from kbackend.engine.program import Spec
from kbackend_numba import threads
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.finish import Finish, Part
from kbackend_numba.codegen.target import Target, host
from kbackend_numba.codegen.tile import LaneTile, Tile
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.kernels.conv_source import SIZES as SOURCE
from kbackend_numba.kernels.conv_source import Source, source_of, write_source
from kbackend_numba.kernels.conv_weights import Filters, packing, shared_packing
from kbackend_numba.kernels.ending import Ending
from kbackend_numba.native import Call, Native, native
from kbackend_numpy.kernels.conv_axes import Axis

Ints = tuple[int, ...]

# Positions in a block, so that few places in its last tile stay empty; and as few as may be.
_POSITIONS, _FEW_POSITIONS = 240, 96
# Blocks that are enough to share among threads.
_BLOCKS = 16
# Bytes of a block's source, which is read once for each panel.
_SOURCE = 384 << 10
# Share of the positions that should read nothing beyond the source, for the others to be passes of
# their own, and how many of these may come from one.
_INNER, _PARTS = 0.7, 9
# Floating point operations in a nanosecond.
FLOPS = 150.0


class Ended(NamedTuple):
    """What becomes of a result.

    Attributes:
        scratch: position of the first scratch array.
        ending: what is done to the elements, if anything.
        operands: positions of the arrays that it takes.
    """

    scratch: int
    ending: Ending | None = None
    operands: Ints = ()


class Pass(NamedTuple):
    """Positions that read a source in one way.

    Attributes:
        axes: how, along the three dimensions.
        taps: numbers of the filters' taps, in the order in which they are read.
        first: the position's indices in the result, for the first of them.
        every: from one of them to the next.
    """

    axes: tuple[Axis, Axis, Axis]
    taps: Ints
    first: Ints
    every: Ints


def panel_width(columns: int, dtype: str) -> int:
    """Columns of a panel."""
    lanes = host().lanes(4 if dtype == "float32" else 8)
    vectors = -(-columns // lanes)
    if vectors == 1:
        return lanes
    return lanes * (3 if vectors % 2 and vectors % 3 == 0 else 2)


def correlation(
    x: Ints,
    y: Ints,
    dtype: str,
    passes: Sequence[Pass],
    filters: Filters,
    apart: int,
    ended: Ended,
) -> Native:
    """The kernel `y, x, w`, behind which others may stand that its ending takes.

    Args:
        x: shape of the source, `(batch, outer, middle, inner, channels)`.
        y: shape of the result.
        dtype: of all arrays.
        passes: which give the result, or a part of it.
        filters: how they lie in memory.
        apart: 0 if channels are summed up, 1 if each channel has a filter of its own, else how many
            channels make a group: a power of 2 below the lanes of a vector.
        ended: what becomes of the result.
    """
    if apart and any(axis.stride > 1 for axis in passes[0].axes):
        passes = _unpadded(passes)
    # Passes of no taps write zeros; what they would read does not matter.
    axes = [p.axes for p in passes if p.taps] or [passes[0].axes]
    images, rows = _block(x, passes, np.dtype(dtype).itemsize)
    source = source_of(x, axes, images, rows)
    width = panel_width(filters.columns, dtype)
    first, ending, operands = ended
    taps = [p.taps for p in passes]
    if apart > 1:
        # Several products a lane hide the time that each takes.
        width = host().lanes(np.dtype(dtype).itemsize)
        pack, starts, packed = shared_packing(filters, apart, taps, width, dtype, (first, 2))
    else:
        pack, starts, packed = packing(filters, taps, width, dtype, (first, 2))
    outer = max(p.axes[0].positions for p in passes)
    blocks = -(-outer // rows)
    sizes = _sizes(passes, starts, source, y, rows, blocks, filters, width)
    operations = 2 * y[0] * y[-1] * filters.rows * max(1, apart)
    operations *= sum(len(p.taps) * prod(a.positions for a in p.axes) for p in passes)
    items = -(-x[0] // images) * blocks
    tail = apart > 0 and filters.columns % width != 0
    key = ("correlation", width, apart, tail, ending, dtype)
    call = Call(
        function(key, _Correlation(*key[1:]).write),
        (0, 1, first, first + 1, *operands),
        sizes,
        items,
        operations / items / FLOPS + prod(y) / items * (ending.cost if ending else 0.1),
    )
    scratch = (Spec((packed,), dtype), Spec((threads.count(), source.room), dtype))
    return native([pack, call], scratch)


def _unpadded(passes: Sequence[Pass]) -> Sequence[Pass]:
    """Passes that read nothing beyond the source, where that pays: positions at its borders make
    passes of their own, of fewer taps. Where less is computed than read, a copy of the source with
    zeros around it would take as long as the rest."""
    found = [part for each in passes for part in _parts(each)]
    found.sort(key=_count, reverse=True)
    inner = sum(map(_count, found[: len(passes)]))
    pays = len(found) <= _PARTS * len(passes) and inner >= _INNER * sum(map(_count, found))
    return found if pays else passes


def _count(each: Pass) -> int:
    return prod(axis.positions for axis in each.axes)


def _parts(whole: Pass) -> list[Pass]:
    """A pass, cut so that the positions of a part have the same taps inside of the source."""
    taps = np.reshape(np.array(whole.taps, int), [axis.taps for axis in whole.axes])
    parts = []
    for cuts in product(*map(_cuts, whole.axes)):
        axes = [
            axis._replace(
                positions=count, taps=tap.stop - tap.start,
                start=axis.start + first * axis.stride + tap.start * axis.dilation,
            )
            for axis, (first, count, tap) in zip(whole.axes, cuts, strict=True)
        ]  # fmt: skip
        steps = zip(whole.first, whole.every, cuts, strict=True)
        parts.append(
            Pass(
                (axes[0], axes[1], axes[2]),
                tuple(taps[tuple([tap for _, _, tap in cuts])].reshape(-1).tolist()),
                tuple([first + every * skipped for first, every, (skipped, _, _) in steps]),
                whole.every,
            )
        )
    return parts


def _cuts(axis: Axis) -> list[tuple[int, int, slice]]:
    """Neighbouring positions that have the same taps inside: the first, how many, the taps."""

    def inside(position: int) -> tuple[int, int]:
        start = axis.start + position * axis.stride
        low = min(axis.taps, max(0, -(start // axis.dilation)))
        high = min(axis.taps, max(low, -((start - axis.size) // axis.dilation)))
        return low, high

    cuts, first = [], 0
    for (low, high), group in groupby(map(inside, range(axis.positions))):
        count = len(list(group))
        cuts.append((first, count, slice(low, high)))
        first += count
    return cuts


def _block(x: Ints, passes: Sequence[Pass], itemsize: int) -> tuple[int, int]:
    """Images and positions along the outer dimension in a block."""
    outer, middle, inner = passes[0].axes
    line = middle.positions * inner.positions
    if outer.positions * line < _POSITIONS:
        images = -(-_POSITIONS // (outer.positions * line))
        return max(1, min(images, x[0] // _BLOCKS)), outer.positions
    rows = outer.positions
    if x[0] < _BLOCKS:
        rows = min(rows, max(-(-rows * x[0] // _BLOCKS), -(-_FEW_POSITIONS // line)))
    row = outer.stride * prod(x[2:]) * itemsize
    return 1, min(rows, max(1, _SOURCE // row, -(-_FEW_POSITIONS // line)))


# The integers of the call: these, those of the source, records of the passes, and tables.
_HEADER = (
    "blocks",
    "rows",
    "groups",
    "panels",
    "columns",
    "channels",
    "passes",
    "y_image",
)
_RECORD = ("runs", "run", "weights", "positions", "line", "at_runs", "at_x", "at_y", "y_hop")


def _sizes(
    passes: Sequence[Pass],
    starts: Ints,
    source: Source,
    y: Ints,
    rows: int,
    blocks: int,
    filters: Filters,
    width: int,
) -> Ints:
    """The integers of the call."""
    dense = [prod(y[i + 1 :]) for i in range(4)]
    header = (
        blocks, rows, filters.groups, -(-filters.columns // width), filters.columns,
        filters.rows, len(passes), dense[0],
    )  # fmt: skip
    first = len(_HEADER) + len(SOURCE) + len(passes) * len(_RECORD)
    records: list[int] = []
    tables: list[int] = []
    for p, start in zip(passes, starts, strict=True):
        runs, run = _runs(p.axes, source, filters)
        counts = (min(rows, p.axes[0].positions), p.axes[1].positions, p.axes[2].positions)
        x_at, y_at = _positions(p, counts, source, dense)
        at = first + len(tables)
        records += (
            len(runs), run, start, p.axes[0].positions, counts[1] * counts[2], at,
            at + len(runs), at + len(runs) + len(x_at), p.every[0] * dense[1],
        )  # fmt: skip
        tables += [*runs, *x_at, *y_at]
    return (*header, *source.sizes, *records, *tables)


def _runs(axes: tuple[Axis, Axis, Axis], source: Source, filters: Filters) -> tuple[list[int], int]:
    """Offsets of a window's runs of neighbouring elements, and how long each of them is."""
    run, rest = filters.rows, []
    steps = [a.dilation * s for a, s in zip(axes, source.steps[1:], strict=True)]
    for axis, step in zip(reversed(axes), reversed(steps), strict=True):
        if not rest and (axis.taps == 1 or step == run):
            run *= axis.taps
        else:
            rest.insert(0, np.arange(axis.taps) * step)
    found = np.zeros((), np.int64)
    for each in rest:
        found = np.add.outer(found, each)
    if not run:
        return [], 0
    return found.reshape(-1).tolist(), run


def _positions(
    p: Pass, counts: Ints, source: Source, dense: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Offsets of a block's positions in the source and in the result."""
    images = np.arange(source.images)
    indices = [np.arange(n) for n in counts]
    x = source.offsets(
        images, *[a.start + a.stride * i for a, i in zip(p.axes, indices, strict=True)]
    )
    y = images * dense[0]
    for first, every, step, index in zip(p.first, p.every, dense[1:], indices, strict=False):
        y = np.add.outer(y, (first + every * index) * step)
    return x.reshape(-1).tolist(), y.reshape(-1).tolist()


class _Correlation:
    """Writes the function whose items are blocks.

    Args:
        width: columns of a panel.
        apart: channels of a group, if these are lanes, else 0.
        tail: whether they are, and the last panel is not full.
        ending: what becomes of the results.
        dtype: of all arrays.
    """

    def __init__(
        self, width: int, apart: int, tail: bool, ending: Ending | None, dtype: str
    ) -> None:
        self.width, self.apart, self.tail = width, apart, tail
        self.ending, self.dtype = ending, dtype

    def write(self, code: Code) -> None:
        """Writes it."""
        self.code = code
        self.y, self.x, self.w, self.memory = [code.array(i) for i in range(4)]
        self.finish = self.ending and self.ending.writer(code, 4)
        self.lanes = code.target.lanes(4 if self.dtype == "float32" else 8)
        self.vectors = self.width // self.lanes
        self.size = {name: code.size(i) for i, name in enumerate(_HEADER)}
        sizes = {name: code.size(len(_HEADER) + i) for i, name in enumerate(SOURCE)}
        with code.loop(code.begin, code.end) as item:
            block = item // self.size["blocks"]
            row = item % self.size["blocks"] * self.size["rows"]
            source, images = write_source(code, sizes, self.dtype, self.x, self.memory, block, row)
            place = block * sizes["images"] * self.size["y_image"]
            with code.loop(0, self.size["passes"]) as number:
                start = number * len(_RECORD) + len(_HEADER) + len(SOURCE)
                record = {name: code.size(start + i) for i, name in enumerate(_RECORD)}
                rows = code.minimum(self.size["rows"], record["positions"] - row)
                count = images * rows * record["line"]
                self._pass(record, source, place + row * record["y_hop"], count)

    def _pass(self, record: dict[str, Value], source: Address, into: Value, count: Value) -> None:
        """All panels of a pass over a block."""
        code, size = self.code, self.size
        panel_step = record["runs"] * record["run"] * (self.width * max(1, self.apart))
        with code.loop(0, size["groups"]) as group, code.loop(0, size["panels"]) as panel:
            place = (group * size["panels"] + panel) * panel_step + record["weights"]
            w = code.offset(self.w, place, self.dtype)
            column = panel * self.width
            channel = column if self.apart else group * size["channels"]
            x = code.offset(source, channel, self.dtype)
            left = size["columns"] - column
            column = group * size["columns"] + column
            y = code.offset(self.y, into + column, self.dtype)
            masks = [code.first(left - j * self.lanes, self.lanes) for j in range(self.vectors)]

            def tile(rows: int, first: Value) -> None:
                places = [code.minimum(first + i, count - 1) for i in range(rows)]
                x_at = [code.size(record["at_x"] + place) for place in places]
                sums = self._tile(rows, masks)
                self._sum(sums, record, x, x_at, w)
                y_at = [code.size(record["at_y"] + place) for place in places]
                sums.store(y, y_at, masks)
                if self.finish is not None:
                    last = code.minimum(first + rows, count) + record["at_y"]
                    self._finish(self.finish, first + record["at_y"], last, into, column, masks)

            each_tile(code, count, tile_rows(self.vectors, code.target), tile)

    def _tile(self, rows: int, masks: list[Value]) -> Tile:
        """Sums that begin as zeros."""
        if not self.apart:
            return Tile(self.code, rows, self.vectors, self.dtype)
        read = masks if self.tail else [None] * self.vectors
        return LaneTile(self.code, rows, self.vectors, self.dtype, read, self.apart)

    def _finish(
        self,
        finish: Finish,
        first: Value,
        last: Value,
        into: Value,
        column: Value,
        masks: list[Value],
    ) -> None:
        """Does what is to be done to a tile's results. Their offsets are at `first` to `last`."""
        code = self.code
        with code.loop(first, last) as number:
            place = code.size(number) + into + column
            for j, mask in enumerate(masks):
                part = Part(place + j * self.lanes, column + j * self.lanes, mask)
                value = code.load(self.y, part.at, self.dtype, self.lanes, mask)
                code.store(finish(value, part), self.y, part.at, mask)

    def _sum(
        self, tile: Tile, record: dict[str, Value], x: Address, x_at: list[Any], w: Address
    ) -> None:
        """The products of all runs."""
        code = self.code
        step = record["run"] * self.width
        with code.loop(0, record["runs"]) as r:
            here = code.offset(x, code.size(record["at_runs"] + r), self.dtype)
            if self.apart:
                # A run is one tap.
                tile.step(here, x_at, 0, w, r * (self.width * self.apart))
            else:
                there = code.offset(w, r * step, self.dtype)
                tile.accumulate(here, x_at, 1, there, self.width, record["run"])


def tile_rows(vectors: int, target: Target) -> int:
    """Rows of a tile: as many as there are registers for, and general registers for offsets."""
    return min(12, (target.registers - vectors - 1) // vectors)


def each_tile(code: Code, count: Value, rows: int, tile: Callable[[int, Value], None]) -> None:
    """Writes the tiles that make up so many rows.

    Those of the last tile that don't exist are to be computed like the last one that does. A low
    tile sees to it that they are not many.

    Args:
        code: where to write.
        count: how many rows there are.
        rows: of a tile.
        tile: called with the rows of a tile and its first one.
    """
    low = -(-rows // 3)
    rest = count % rows
    whole = code.select(rest > low, count, count - rest)
    with code.loop(0, whole, rows) as first:
        tile(rows, first)
    with code.when(whole < count):
        tile(low, whole)
