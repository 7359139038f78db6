"""Convolutions of 3x3 taps by Winograd's method: a quarter of the products, or 4 in 9.

The result is cut into tiles of `m` by `m` positions. What a tile reads is transformed into
`(m + 2)^2` planes, so are the filters; in each plane a matrix product over the channels remains;
its result is transformed back. A block of tiles goes through all of this at a time, so that its
planes stay in the second cache.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple

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
from kbackend_numba.kernels.conv_source import Source, source_of, three, write_source
from kbackend_numba.kernels.conv_weights import Filters, packing
from kbackend_numba.kernels.ending import Ending
from kbackend_numba.native import Call, Native, native
from kbackend_numpy.kernels.conv_axes import Axis

Ints = tuple[int, ...]

_DTYPE = "float32"
# Bytes that the planes of a block may take, before and after the products.
_PLANES = 1 << 20
# Elements between planes, so that they don't share lines of the cache.
_APART = 16
# Nanoseconds to transform a number of a plane there or back, and one of the filters; to read one
# again that comes from far away.
TRANSFORM, TRANSFORM_FILTERS, READ = 0.15, 0.3, 0.3


class Tiling(NamedTuple):
    """How a result is cut.

    Attributes:
        axes: how tiles read the source.
        images: in a block.
        rows: of tiles in a block.
    """

    axes: tuple[Axis, Axis, Axis]
    images: int
    rows: int

    @property
    def tiles(self) -> int:
        """In a block."""
        return self.images * self.rows * self.axes[2].positions


def tiling(x: Ints, y: Ints, low: Ints, m: int, most: int, height: int) -> Tiling:
    """How to cut a result.

    Args:
        x: shape of the source, `(batch, height, 1, width, channels)`.
        y: shape of the result.
        low: zeros before the source, along both dimensions.
        m: positions of a tile.
        most: tiles in a block.
        height: their number should be a multiple of this.
    """
    axes = three(
        [
            Axis(x[1], -(-y[1] // m), m + 2, m, 1, -low[0]),
            Axis(x[3], -(-y[3] // m), m + 2, m, 1, -low[1]),
        ]
    )
    lines, line = axes[0].positions, axes[2].positions
    if lines * line > most:
        rows = max(1, most // line)
        blocks = [(1, -(-lines // -(-lines // rows)))]
    else:
        blocks = [(i, lines) for i in range(1, max(1, min(most // (lines * line), x[0])) + 1)]

    def waste(block: tuple[int, int]) -> float:
        tiles = prod(block) * line
        # The filters are read once for each block, which is as good as some tiles more.
        return (-(-tiles // height) * height + 2) / tiles

    return Tiling(axes, *min(blocks, key=waste))


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
    tiles = y[0] * -(-y[1] // m) * -(-y[2] // m)
    filters = (m + 2) ** 2 * channels * y[3]
    blocks = -(-tiles // _most(m, tiles, channels, y[3]))
    return _cost_of_tiles(m, tiles, channels, y[3]) + filters * (TRANSFORM_FILTERS + blocks * READ)


def convolution(
    x: Ints,
    y: Ints,
    low: Ints,
    filters: Filters,
    turned: bool,
    m: int,
    ended: Ended | None = None,
) -> Native:
    """The kernel `y, x, w`, behind which others may stand that its ending takes.

    Args:
        x: shape of the source, `(batch, height, 1, width, channels)`.
        y: shape of the result.
        low: zeros before the source, along both dimensions.
        filters: how they lie in memory.
        turned: whether the taps are read from the last to the first.
        m: 2 or 4.
        ended: what becomes of the result.
    """
    channels, columns = x[-1], y[-1]
    width = panel_width(columns, _DTYPE)
    panels = -(-columns // width)
    points = (m + 2) ** 2
    tiles = y[0] * -(-y[1] // m) * -(-y[3] // m)
    tiled = tiling(x, y, low, m, _most(m, tiles, channels, columns), 4)
    source = source_of(x, [tiled.axes], tiled.images, tiled.rows)
    planes = (tiled.tiles * channels + _APART, tiled.tiles * panels * width + _APART)
    room = points * sum(planes) + m * m * columns
    before, ending, operands = ended or Ended(3, None, ())
    calls, scratch = transformed_filters(filters, turned, m, width, before)
    first = before + len(scratch) - 1
    lines = tiled.axes[0].positions
    blocks = -(-lines // tiled.rows)
    items = -(-x[0] // tiled.images) * blocks
    key = ("winograd", m, width, ending)
    work = prod(y) * ending.cost if ending else 0.0
    work += _cost_of_tiles(m, tiles, channels, columns)
    calls.append(
        Call(
            function(key, _Convolution(*key[1:]).write),
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
                y[1],
                y[3] * columns,
                *source.sizes,
                *_tables(tiled, source, y, m),
            ),  # fmt: skip
            items,
            work / items,
        )
    )
    scratch += [
        Spec((threads.count(), room), _DTYPE),
        Spec((threads.count(), source.room), _DTYPE),
    ]
    return native(calls, scratch)


def tile_offsets(tiled: Tiling, source: Source) -> np.ndarray:
    """Offsets of a block's tiles in the source."""
    indices = [a.start + a.stride * np.arange(a.positions) for a in tiled.axes]
    indices[0] = indices[0][: tiled.rows]
    return source.offsets(np.arange(tiled.images), *indices).reshape(-1)


def _tables(tiled: Tiling, source: Source, y: Ints, m: int) -> list[int]:
    """For each tile of a block where it is in the source and in the result, its first row, and how
    many columns it has."""
    images, rows = np.arange(tiled.images), np.arange(tiled.rows)
    line = np.arange(tiled.axes[2].positions)
    dense = prod(y[1:]), m * y[3] * y[4], m * y[4]
    y_at = np.add.outer(np.add.outer(images * dense[0], rows * dense[1]), line * dense[2])
    row = np.broadcast_to((rows * m)[None, :, None], y_at.shape)
    columns = np.broadcast_to(np.minimum(m, y[3] - m * line), y_at.shape)
    tables = (tile_offsets(tiled, source), y_at, row, columns)
    return [int(n) for table in tables for n in table.reshape(-1)]


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
        self.before = code.offset(memory, code.worker * size["room"], _DTYPE)
        points = self.points**2
        self.after = code.offset(self.before, size["plane_x"] * points, _DTYPE)
        self.edge = code.offset(self.after, size["plane_y"] * points, _DTYPE)
        with code.loop(code.begin, code.end) as item:
            block, row = item // size["blocks"], item % size["blocks"] * size["rows"]
            source, images = write_source(code, sizes, _DTYPE, x, copies, block, row)
            rows = code.minimum(size["rows"], size["lines"] - row)
            tiles = images * rows * size["line"]
            write_forward(
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
            x = code.offset(self.before, point * size["plane_x"], _DTYPE)
            place = (point * size["panels"] + panel) * panel_step
            w = code.offset(self.filters, place, _DTYPE)
            place = point * size["plane_y"] + panel * self.width
            y = code.offset(self.after, place, _DTYPE)
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
            place = code.offset(self.y, at, _DTYPE)
            height = code.minimum(rows - code.size(self._table(2) + tile), m)
            width = code.size(self._table(3) + tile)
            whole = (height >= m) & (width >= m)
            # A tile that reaches beyond the result is put aside, and then copied in part.
            target = code.choose(whole, place, self.edge)
            step = code.select(whole, size["y_row"], size["columns"] * m)
            after = code.offset(self.after, tile * pitch, _DTYPE)
            with code.loop(0, size["columns"], self.lanes) as c:
                block = [
                    [self._plane(after, i * self.points + j, c) for j in range(self.points)]
                    for i in range(self.points)
                ]
                for i, line in enumerate(both_sides(code, self.short.output, block)):
                    for j, value in enumerate(line):
                        code.store(value, target, step * i + size["columns"] * j + c)
            with code.when(~whole), code.loop(0, height) as i:
                from_ = code.offset(self.edge, i * m * size["columns"], _DTYPE)
                to = code.offset(place, i * size["y_row"], _DTYPE)

                def copy(at: Value, mask: Value | None) -> None:
                    code.store(code.load(from_, at, _DTYPE, self.lanes, mask), to, at, mask)

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
                value = code.load(self.y, part.at, _DTYPE, self.lanes)
                code.store(finish(value, part), self.y, part.at)

    def _plane(self, after: Address, point: int, column: Value) -> Value:
        place = self.size["plane_y"] * point + column
        return self.code.load(after, place, _DTYPE, self.lanes)


def write_forward(
    code: Code,
    matrix: tuple[tuple[object, ...], ...],
    source: Address,
    planes: Address,
    plane: Value,
    tiles: Value,
    channels: Value,
    pixel: Value,
    row: Value,
    table: Value,
) -> None:
    """Writes how tiles become planes.

    Args:
        code: where to write.
        matrix: that is applied to the rows and columns of a tile.
        source: what tiles are read from.
        planes: where to; the numbers of a tile are side by side in each.
        plane: elements from one plane to the next.
        tiles: how many.
        channels: how many, a multiple of the lanes.
        pixel: elements from one element of a row of the source to the next.
        row: elements from one row to the next.
        table: where the offsets of the tiles are among the sizes.
    """
    lanes, count = code.lanes, len(matrix[0])
    with code.loop(0, tiles) as tile:
        here = code.offset(source, code.size(table + tile), _DTYPE)
        there = code.offset(planes, tile * channels, _DTYPE)
        with code.loop(0, channels, lanes) as c:
            block = [
                [code.load(here, row * i + pixel * j + c, _DTYPE, lanes) for j in range(count)]
                for i in range(count)
            ]
            for i, line in enumerate(both_sides(code, matrix, block)):
                for j, value in enumerate(line):
                    code.store(value, there, plane * (i * len(matrix) + j) + c)


# ----- filters -----


def transformed_filters(
    filters: Filters, turned: bool, m: int, width: int, position: int
) -> tuple[list[Call], list[Spec]]:
    """The calls that transform filters into planes of panels, and their scratch arrays.

    Args:
        filters: how they lie in memory; they are array number 2.
        turned: whether the taps are read from the last to the first.
        m: positions of a tile along each dimension.
        width: columns of a panel.
        position: of the first scratch array. The last one holds the result.
    """
    panels = -(-filters.columns // width)
    taps = range(8, -1, -1) if turned else range(9)
    # What is read along with each other is put side by side first.
    pack, _, size = packing(filters, [taps], width, _DTYPE, (position, 2))
    calls, scratch = [pack], [Spec((size,), _DTYPE)]
    key = ("winograd filters", m, width)
    calls.append(
        Call(
            function(key, _filters(m, width)),
            (position + 1, position),
            (filters.rows, panels),
            panels * filters.rows,
            width * 36 * TRANSFORM_FILTERS,
        )
    )
    points = (m + 2) ** 2
    scratch.append(Spec((points * panels * filters.rows * width,), _DTYPE))
    return calls, scratch


def _filters(m: int, width: int) -> Callable[[Code], None]:
    """Writes the function whose items are the rows of panels."""

    def write(code: Code) -> None:
        rows, panels = code.size(0), code.size(1)
        plane = panels * rows * width
        with code.loop(code.begin, code.end) as item:
            place = (item // rows * (rows * 8) + item) * width
            source = code.offset(code.array(1), place, _DTYPE)
            target = code.offset(code.array(0), item * width, _DTYPE)
            with code.loop(0, width, code.lanes) as k:
                block = [
                    [
                        code.load(source, rows * width * (3 * i + j) + k, _DTYPE, code.lanes)
                        for j in range(3)
                    ]
                    for i in range(3)
                ]
                for i, line in enumerate(both_sides(code, short(m).filters, block)):
                    for j, value in enumerate(line):
                        code.store(value, target, plane * (i * (m + 2) + j) + k)

    return write
