"""Convolutions of 3x3 taps by Winograd's method, and those back to their input.

The result is cut into tiles of `m` by `m` positions. What a tile reads is transformed into
`(m + 2)^2` planes, so are the filters; in each plane a matrix product over the channels remains;
its result is transformed back. Tiles of 4 by 4 positions take a quarter of the products, those of 2
by 2 4 in 9. A block of tiles goes through all of this at a time, so that its planes stay in the
second cache.
"""

from __future__ import annotations

from math import prod

import numpy as np

from kbackend.engine.program import Spec
from kbackend_numba import threads
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.finish import Finish, Part
from kbackend_numba.codegen.tile import Tile
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.codegen.vectors import each_vector
from kbackend_numba.codegen.winograd import both_sides, short
from kbackend_numba.kernels.conv_direct import FLOPS, Ended, each_tile, panel_width, tile_rows
from kbackend_numba.kernels.conv_source import SIZES as SOURCE
from kbackend_numba.kernels.conv_source import Source, source_of, write_source
from kbackend_numba.kernels.conv_weights import Filters
from kbackend_numba.kernels.ending import Ending
from kbackend_numba.kernels.winograd_tiles import (
    APART,
    DTYPE,
    TRANSFORM,
    TRANSFORM_FILTERS,
    Tiling,
    tile_offsets,
    tiles_of,
    tiling,
    write_planes,
)
from kbackend_numba.kernels.winograd_weights import transformed_filters
from kbackend_numba.native import Call, Native, native

Ints = tuple[int, ...]

# Bytes that the planes of a block may take, before and after the products.
_PLANES = 1 << 20
# Nanoseconds to read a number of the filters, which come from far away.
_READ = 0.3


def _most(m: int, tiles: int, channels: int, columns: int) -> int:
    """Tiles in a block: so many that their planes stay in the second cache, or where filters are
    large so many that reading these is no more work than the planes are. Four threads have work."""
    cached = _PLANES // (4 * (m + 2) ** 2 * (channels + columns))
    worth = min(64, channels * columns // (2 * (channels + columns)))
    return max(12, min(max(cached, worth), -(-tiles // 4)))


def _cost_of_tiles(m: int, tiles: int, channels: int, columns: int) -> float:
    each = 2 * channels * columns / FLOPS + (channels + columns) * TRANSFORM
    return tiles * (m + 2) ** 2 * each


def cost(m: int, y: Ints, channels: int) -> float:
    """Nanoseconds on one thread, roughly.

    Args:
        m: positions of a tile along each dimension.
        y: shape of the result, `(batch, height, width, filters)`.
        channels: that are summed up for each position.
    """
    tiles = tiles_of(m, y)
    filters = (m + 2) ** 2 * channels * y[3]
    blocks = -(-tiles // _most(m, tiles, channels, y[3]))
    far = filters * (TRANSFORM_FILTERS + blocks * _READ)
    return _cost_of_tiles(m, tiles, channels, y[3]) + far


def convolution(
    m: int,
    low: Ints,
    x: Ints,
    y: Ints,
    part: Ints,
    filters: Filters,
    turned: bool,
    ended: Ended,
) -> Native:
    """The kernel `y, x, w`, behind which others may stand that its ending takes.

    Args:
        m: positions of a tile along each dimension, 2 or 4.
        low: zeros before the source, along both dimensions.
        x: shape of the source, `(batch, height, 1, width, channels)`.
        y: shape of the result.
        part: rows and columns of it that are computed, from the first ones on.
        filters: how they lie in memory.
        turned: whether the taps are read from the last to the first.
        ended: what becomes of the result.
    """
    channels, columns = x[-1], y[-1]
    width = panel_width(columns, DTYPE)
    panels = -(-columns // width)
    points = (m + 2) ** 2
    tiles = tiles_of(m, (y[0], *part, columns))
    tiled = tiling(m, low, x, part, _most(m, tiles, channels, columns), 4)
    source = source_of(x, [tiled.axes], tiled.images, tiled.rows)
    planes = (tiled.tiles * channels + APART, tiled.tiles * panels * width + APART)
    room = points * sum(planes) + m * m * columns
    before, ending, operands = ended
    calls, scratch = transformed_filters(m, filters, turned, width, before)
    first = before + len(scratch) - 1
    lines = tiled.axes[0].positions
    blocks = -(-lines // tiled.rows)
    items = -(-x[0] // tiled.images) * blocks
    key = ("winograd", m, width, ending)
    work = prod(y) * ending.cost if ending else 0.0
    work += _cost_of_tiles(m, tiles, channels, columns)
    calls.append(
        Call(
            function(key, _Convolution(m, width, ending).write),
            (0, 1, first, first + 1, first + 2, *operands),
            (
                blocks,
                tiled.rows,
                lines,
                tiled.axes[2].positions,
                tiled.tiles,
                channels,
                columns,
                panels,
                *planes,
                room,
                source.steps[1],
                prod(y[1:]),
                m * y[3] * columns,
                part[0],
                y[3] * columns,
                *source.sizes,
                *_tables(m, tiled, source, y, part[1]),
            ),  # fmt: skip
            items,
            work / items,
        )
    )
    scratch += [
        Spec((threads.count(), room), DTYPE),
        Spec((threads.count(), source.room), DTYPE),
    ]
    return native(calls, scratch)


def _tables(m: int, tiled: Tiling, source: Source, y: Ints, width: int) -> list[int]:
    """For each tile of a block where it is in the source and in the result, its first row, and how
    many of `width` columns it has."""
    images, rows = np.arange(tiled.images), np.arange(tiled.rows) * m
    line = np.arange(tiled.axes[2].positions) * m
    at_row = np.add.outer(images * prod(y[1:]), rows * y[3] * y[4])
    y_at = np.add.outer(at_row, line * y[4])
    row = np.broadcast_to(rows[None, :, None], y_at.shape)
    columns = np.broadcast_to(np.minimum(m, width - line), y_at.shape)
    tables = [n for table in (y_at, row, columns) for n in table.reshape(-1).tolist()]
    return [*tile_offsets(tiled, source), *tables]


_HEADER = (
    "blocks", "rows", "lines", "line", "tiles", "channels", "columns", "panels",
    "plane_x", "plane_y", "room", "x_row", "y_image", "y_hop", "y_rows", "y_row",
)  # fmt: skip


class _Convolution:
    """Writes the function whose items are blocks of tiles.

    Args:
        m: positions of a tile along each dimension.
        width: columns of a panel.
        ending: what becomes of the result.
    """

    def __init__(self, m: int, width: int, ending: Ending | None) -> None:
        self.m, self.width, self.ending = m, width, ending
        self.short = short(m)
        self.points = self.short.points

    def write(self, code: Code) -> None:
        """Writes it."""
        self.code, self.lanes = code, code.lanes
        self.y, x, self.filters, memory, copies = [code.array(i) for i in range(5)]
        self.finish = self.ending and self.ending.writer(code, 5)
        self.size = size = {name: code.size(i) for i, name in enumerate(_HEADER)}
        sizes = {name: code.size(len(_HEADER) + i) for i, name in enumerate(SOURCE)}
        self.before = code.offset(memory, code.worker * size["room"], DTYPE)
        points = self.points**2
        self.after = code.offset(self.before, size["plane_x"] * points, DTYPE)
        self.edge = code.offset(self.after, size["plane_y"] * points, DTYPE)
        with code.loop(code.begin, code.end) as item:
            block, row = item // size["blocks"], item % size["blocks"] * size["rows"]
            source, images = write_source(code, sizes, DTYPE, x, copies, block, row)
            rows = code.minimum(size["rows"], size["lines"] - row)
            tiles = images * rows * size["line"]
            write_planes(
                code, self.short.data, source, self.before, size["plane_x"], tiles,
                size["channels"], size["channels"], size["x_row"], self._table(0),
            )  # fmt: skip
            self._products(tiles)
            place = block * sizes["images"] * size["y_image"] + row * size["y_hop"]
            self._back(place, tiles, size["y_rows"] - row * self.m)

    def _table(self, number: int) -> Value:
        return self.size["tiles"] * number + (len(_HEADER) + len(SOURCE))

    def _products(self, tiles: Value) -> None:
        """In each plane the tiles' channels times the filters."""
        code, size = self.code, self.size
        panel_step = size["channels"] * self.width
        pitch = size["panels"] * self.width
        with (
            code.loop(0, self.points**2) as point,
            code.loop(0, size["panels"]) as panel,
        ):
            x = code.offset(self.before, point * size["plane_x"], DTYPE)
            place = (point * size["panels"] + panel) * panel_step
            w = code.offset(self.filters, place, DTYPE)
            place = point * size["plane_y"] + panel * self.width
            y = code.offset(self.after, place, DTYPE)
            vectors = self.width // self.lanes

            def tile(rows: int, first: Value) -> None:
                places = [code.minimum(first + i, tiles - 1) for i in range(rows)]
                sums = Tile(code, rows, vectors)
                x_at = [place * size["channels"] for place in places]
                sums.accumulate(x, x_at, 1, w, self.width, size["channels"])
                sums.store(y, [place * pitch for place in places], [None] * vectors)

            each_tile(code, tiles, tile_rows(vectors, code.target), tile)

    def _back(self, start: Value, tiles: Value, rows: Value) -> None:
        """From planes to the result, from an element on. `rows` of it are left."""
        code, size, m = self.code, self.size, self.m
        pitch = size["panels"] * self.width
        with code.loop(0, tiles) as tile:
            at = start + code.size(self._table(1) + tile)
            place = code.offset(self.y, at, DTYPE)
            height = code.minimum(rows - code.size(self._table(2) + tile), m)
            width = code.size(self._table(3) + tile)
            whole = (height >= m) & (width >= m)
            # A tile that reaches beyond the result is put aside, and then copied in part.
            target = code.choose(whole, place, self.edge)
            step = code.select(whole, size["y_row"], size["columns"] * m)
            after = code.offset(self.after, tile * pitch, DTYPE)
            with code.loop(0, size["columns"], self.lanes) as c:

                def load(i: int, j: Value, after: Address = after, c: Value = c) -> Value:
                    place = size["plane_y"] * (j + i * self.points) + c
                    return code.load(after, place, DTYPE, self.lanes)

                def store(
                    i: Value, j: int, value: Value, target: Address = target, c: Value = c
                ) -> None:
                    code.store(value, target, step * i + size["columns"] * j + c)

                both_sides(code, self.short.output, load, store)
            with code.when(~whole), code.loop(0, height) as i:
                from_ = code.offset(self.edge, i * m * size["columns"], DTYPE)
                to = code.offset(place, i * size["y_row"], DTYPE)

                def copy(at: Value, mask: Value | None) -> None:
                    code.store(code.load(from_, at, DTYPE, self.lanes, mask), to, at, mask)

                each_vector(code, width * size["columns"], self.lanes, copy)

            if self.finish is not None:
                self._finish(self.finish, at, height, width)

    def _finish(self, finish: Finish, place: Value, height: Value, width: Value) -> None:
        """Does what is to be done to the results of a tile."""
        code, size = self.code, self.size
        with code.loop(0, height) as i, code.loop(0, width) as j:
            at = place + i * size["y_row"] + j * size["columns"]
            with code.loop(0, size["columns"], self.lanes) as c:
                part = Part(at + c, c, None)
                value = code.load(self.y, part.at, DTYPE, self.lanes)
                code.store(finish(value, part), self.y, part.at)
