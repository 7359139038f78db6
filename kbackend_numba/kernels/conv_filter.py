"""The gradient of a convolution in its filters, as sums of products in registers.

A tile holds some rows of the filters, each of them a tap and a channel, for a panel of columns. It
goes over the positions of a block and adds up what each position read times what came back to it.

Items are groups of images times shares of the rows. Every group makes a sum of its own; another
call adds them up. Which images a group has depends on nothing but the shapes, so the number of
threads doesn't change the result.
"""

from __future__ import annotations

from math import prod

import numpy as np

from kbackend.engine.program import Spec
from kbackend_numba import threads
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.target import host
from kbackend_numba.codegen.tile import GroupTile, LaneTile, Tile
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.codegen.vectors import each_vector
from kbackend_numba.kernels.conv_direct import FLOPS, panel_width, tile_rows
from kbackend_numba.kernels.conv_source import SIZES as SOURCE
from kbackend_numba.kernels.conv_source import source_of, write_source
from kbackend_numba.native import Call, Native, native
from kbackend_numpy.kernels.conv_axes import Axis

Ints = tuple[int, ...]

# Positions of a block: its cotangents should stay in the first cache.
_POSITIONS = 256
# Items that are enough to share among threads, and bytes that sums of their own may take.
_ITEMS, _SUMS = 32, 2 << 20
# Positions before they are needed, elements are asked for.
_AHEAD = 8
# Elements of an item that adds up sums.
_ADDED = 4096


def filter_gradient(
    x: Ints, g: Ints, dtype: str, axes: tuple[Axis, Axis, Axis], groups: int, apart: int = 0
) -> Native:
    """The kernel `filters, x, g`.

    Args:
        x: shape, `(batch, outer, middle, inner, channels)`.
        g: shape of the cotangent.
        dtype: of all arrays.
        axes: how its positions read x.
        groups: how many.
        apart: channels of a group, if these are lanes; then there are no groups besides. Else 0.
    """
    batch, columns, inner = x[0], g[-1] // groups, apart or x[-1] // groups
    itemsize = np.dtype(dtype).itemsize
    lanes = host().lanes(itemsize)
    width = lanes if apart > 1 else panel_width(columns, dtype)
    lines = axes[0].positions
    line = axes[1].positions * axes[2].positions
    images = min(batch, max(1, _POSITIONS // (lines * line)))
    rows = min(lines, max(1, -(-_POSITIONS // line)))
    source = source_of(x, [axes], images, rows)
    taps = prod(a.taps for a in axes)
    count = taps * inner

    reads = [np.arange(a.taps) * a.dilation for a in axes]
    # Rows of lanes that share numbers read the same.
    at_row = _outer([*reads, np.arange(inner)], (*source.steps[1:], 0 if apart else 1))
    if apart > 1:
        height, joined = apart * min(taps, max(1, tile_rows(1, host()) // apart)), False
    else:
        height, joined = _height(at_row, width // lanes)
    tiles = -(-count // height)
    blocks = -(-batch // images)
    sums = max(1, min(blocks, _ITEMS, _SUMS // (count * g[-1] * itemsize)))
    blocks_sum = -(-blocks // sums)
    sums = -(-blocks // blocks_sum)
    shares = max(1, min(tiles, _ITEMS // sums))
    tiles_share = -(-tiles // shares)
    shares = -(-tiles // tiles_share)

    indices = [a.start + a.stride * np.arange(a.positions) for a in axes]
    indices[0] = indices[0][:rows]
    at_position = source.offsets(np.arange(source.images), *indices).reshape(-1)
    sizes = (
        blocks, blocks_sum, -(-lines // rows), rows, lines, line, shares, tiles_share, tiles,
        groups, inner, columns, -(-columns // width), count, g[-1],
        *source.sizes, *at_row.tolist(), *at_position.tolist(), *at_position[-1:].tolist() * _AHEAD,
    )  # fmt: skip
    tail = columns % width != 0
    key = ("filter gradient", height, joined, apart, width, tail, dtype)
    work = 2 * prod(g) * count / FLOPS
    first = 0 if sums == 1 else 4
    calls = [
        Call(
            function(key, _Gradient(*key[1:]).write),
            (first, 1, 2, 3),
            sizes,
            sums * shares,
            work / (sums * shares),
        )
    ]
    scratch = [Spec((threads.count(), source.room), dtype)]
    if sums > 1:
        size = count * g[-1]
        scratch.append(Spec((sums, size), dtype))
        calls.append(add_up(size, sums, dtype, (0, first)))
    return native(calls, scratch)


def _height(at_row: np.ndarray, vectors: int) -> tuple[int, bool]:
    """Rows of a tile, and whether those of each tile lie side by side.

    Where they do, the tile may be as high as there are registers for sums. Else every row has a
    general register for its offset as well, and these are few.

    Args:
        at_row: offsets of the rows of the filters.
        vectors: in a row of a tile.
    """
    most, count = tile_rows(vectors, host()), len(at_row)
    ends = np.flatnonzero(np.diff(at_row) != 1) + 1
    runs = np.diff([0, *ends, count])
    run = int(np.gcd.reduce(runs))
    for height in range(min(run, most), max(0, most - 5), -1):
        if run % height == 0:
            return height, True
    most = min(most, 10, 24 // vectors, count)
    heights = range(most, max(0, most - 3), -1)
    return min(heights, key=lambda height: -(-count // height) * height), False


def _outer(indices: list[np.ndarray], steps: Ints) -> np.ndarray:
    """The sums of all combinations of indices times their steps."""
    found = np.zeros((), np.int64)
    for index, step in zip(indices, steps, strict=True):
        found = np.add.outer(found, index * step)
    return found.reshape(-1)


_HEADER = (
    "blocks",  # of images
    "blocks_sum",  # of these that make one sum
    "cuts",  # blocks along the outer dimension
    "rows",  # positions along it in a block
    "lines",  # positions along it
    "line",  # positions for each of these
    "shares",  # into which the tiles are cut
    "tiles_share",
    "tiles",
    "groups",
    "inner",  # channels of a group
    "columns",  # of the filters in a group
    "panels",
    "count",  # rows of the filters
    "filters",  # columns of all groups
)


class _Gradient:
    """Writes the function whose items are shares of sums.

    Args:
        height: rows of a tile.
        joined: whether they lie side by side.
        apart: channels of a group, if these are lanes, else 0.
        width: columns of a panel.
        tail: whether the last panel is not full.
        dtype: of all arrays.
    """

    def __init__(
        self, height: int, joined: bool, apart: int, width: int, tail: bool, dtype: str
    ) -> None:
        self.height, self.joined, self.apart = height, joined, apart
        self.width, self.tail, self.dtype = width, tail, dtype

    def write(self, code: Code) -> None:
        """Writes it."""
        self.code = code
        self.out, x, self.g, memory = [code.array(i) for i in range(4)]
        self.lanes = code.target.lanes(4 if self.dtype == "float32" else 8)
        self.vectors = self.width // self.lanes
        self.size = size = {name: code.size(i) for i, name in enumerate(_HEADER)}
        sizes = {name: code.size(len(_HEADER) + i) for i, name in enumerate(SOURCE)}
        with code.loop(code.begin, code.end) as item:
            number, share = item // size["shares"], item % size["shares"]
            start = number * size["blocks_sum"]
            stop = code.minimum(start + size["blocks_sum"], size["blocks"])
            place = number * size["count"] * size["filters"]
            out = code.offset(self.out, place, self.dtype)
            first = share * size["tiles_share"]
            last = code.minimum(first + size["tiles_share"], size["tiles"])
            with code.loop(start, stop) as block, code.loop(0, size["cuts"]) as cut:
                row = cut * size["rows"]
                source, images = write_source(code, sizes, self.dtype, x, memory, block, row)
                rows = code.minimum(size["rows"], size["lines"] - row)
                count = images * rows * size["line"]
                image = block * sizes["images"]
                place = (image * size["lines"] + row) * size["line"] * size["filters"]
                g = code.offset(self.g, place, self.dtype)
                again = (block > start) | (cut > 0)
                self._block(out, source, g, count, first, last, again)

    def _block(
        self,
        out: Address,
        source: Address,
        g: Address,
        count: Value,
        first: Value,
        last: Value,
        again: Value,
    ) -> None:
        """The tiles from `first` up to `last`, for the positions of a block."""
        code, size = self.code, self.size
        with code.loop(0, size["groups"]) as group, code.loop(0, size["panels"]) as panel:
            column = panel * self.width
            left = size["columns"] - column
            column = group * size["columns"] + column
            x = code.offset(source, column if self.apart else group * size["inner"], self.dtype)
            w = code.offset(g, column, self.dtype)
            y = code.offset(out, column, self.dtype)
            masks: list[Value | None] = [None] * self.vectors
            if self.tail:
                masks = [code.first(left - j * self.lanes, self.lanes) for j in range(self.vectors)]
            with code.loop(first, last) as tile:
                row = tile * self.height
                share = max(1, self.apart)
                firsts = [
                    code.minimum(row + i, size["count"] - share)
                    for i in range(0, self.height, share)
                ]
                rows = [first + i if i else first for first in firsts for i in range(share)]
                y_at = [row * size["filters"] for row in rows]
                self._tile(x, rows, w, y, y_at, masks, count, again)

    def _tile(
        self,
        x: Address,
        rows: list[Value],
        w: Address,
        y: Address,
        y_at: list[Value],
        masks: list[Value | None],
        count: Value,
        again: Value,
    ) -> None:
        code, size = self.code, self.size
        at_row = len(_HEADER) + len(SOURCE)
        if self.joined:
            x = code.offset(x, code.size(rows[0] + at_row), self.dtype)
            x_at: list[Value | int] = [*range(self.height)]
        else:
            x_at = [code.size(row + at_row) for row in rows]
        if self.apart > 1:
            tile: Tile = GroupTile(code, self.height, self.dtype, masks[0], self.apart)
        elif self.apart:
            tile = LaneTile(code, self.height, self.vectors, self.dtype, masks)
        else:
            tile = Tile(code, self.height, self.vectors, self.dtype)
        with code.when(again):
            tile.load(y, y_at, masks)
        at_position = size["count"] + at_row
        with code.loop(0, count) as position:
            here = code.offset(x, code.size(at_position + position), self.dtype)
            tile.step(here, x_at, 0, w, position * size["filters"], masks if self.tail else ())
            # Positions are so far apart that the machine doesn't foresee what comes.
            place = code.size(at_position + position + _AHEAD) + x_at[0]
            code.prefetch(x, place, self.dtype)
            tile.prefetch(w, (position + _AHEAD) * size["filters"])
        tile.store(y, y_at, masks)


# ----- sums of sums -----


def add_up(size: int, sums: int, dtype: str, arrays: tuple[int, int]) -> Call:
    """The call that adds up arrays that lie one behind the other.

    Args:
        size: elements of each.
        sums: how many.
        dtype: of their elements.
        arrays: places of the result and of the arrays.
    """
    return Call(
        function(("add up", dtype), _write_add_up(dtype)),
        arrays,
        (size, sums),
        -(-size // _ADDED),
        _ADDED * sums * 0.1,
    )


def _write_add_up(dtype: str):
    """Writes the function whose items are `_ADDED` elements."""

    def write(code: Code) -> None:
        lanes = code.target.lanes(4 if dtype == "float32" else 8)
        size, sums = code.size(0), code.size(1)
        first = code.begin * _ADDED
        count = code.minimum(code.end * _ADDED, size) - first
        out, parts = (code.offset(code.array(i), first, dtype) for i in (0, 1))

        def vector(at: Value, mask: Value | None) -> None:
            total = code.var(code.load(parts, at, dtype, lanes, mask))
            with code.loop(1, sums) as i:
                total.set(total.value + code.load(parts, i * size + at, dtype, lanes, mask))
            code.store(total.value, out, at, mask)

        each_vector(code, count, lanes, vector)

    return write
