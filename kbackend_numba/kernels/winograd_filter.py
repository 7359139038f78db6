"""The gradient in 3x3 filters by Winograd's method.

It is the transpose of the convolution in `winograd`, step by step: tiles of the images and of the
cotangent become planes, in each plane a matrix product over the tiles adds up, and only the sums
of all tiles are transformed back.

Items are groups of blocks times shares of the channels. Every group makes sums of its own, and how
many groups there are depends on nothing but the shapes.
"""

from __future__ import annotations

from kbackend.engine.program import Spec
from kbackend_numba import threads
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.target import host
from kbackend_numba.codegen.tile import Tile
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.codegen.winograd import both_sides, short, transposed
from kbackend_numba.kernels.conv_direct import FLOPS, panel_width, tile_rows
from kbackend_numba.kernels.conv_source import SIZES as SOURCE
from kbackend_numba.kernels.conv_source import source_of, write_source
from kbackend_numba.kernels.winograd_tiles import (
    APART,
    DTYPE,
    TRANSFORM,
    TRANSFORM_FILTERS,
    tile_offsets,
    tiles_of,
    tiling,
    write_planes,
)
from kbackend_numba.native import Call, Native, native
from kbackend_numpy.kernels.conv_axes import Axis

Ints = tuple[int, ...]

# Bytes that the planes of a block may take.
_PLANES = 1 << 19
# Nanoseconds to read or write a sum.
_READ = 0.1
# Items that are enough to share among threads, and that there should be in any case; channels of
# an item, bytes that all sums may take.
_ITEMS, _FEW_ITEMS, _CHANNELS, _SUMS = 16, 8, 32, 3 << 20


def _share(channels: int) -> int:
    """Channels of an item."""
    return next(n for n in (_CHANNELS, host().lanes(), channels) if channels % n == 0)


def _most(m: int, share: int, columns: int) -> int:
    """Tiles in a block. Each adds to sums that are as large as the planes of some tiles."""
    return max(32, _PLANES // (4 * (m + 2) ** 2 * (share + columns)))


def _cost_of_tiles(m: int, tiles: int, channels: int, columns: int) -> float:
    share = _share(channels)
    planes = channels + columns * (channels // share)
    each = 2 * channels * columns / FLOPS + planes * TRANSFORM
    # A block reads and writes the sums.
    again = 2 * _READ * channels * columns / _most(m, share, columns)
    return tiles * (m + 2) ** 2 * (each + again)


def cost(m: int, g: Ints, channels: int) -> float:
    """Nanoseconds on one thread, roughly.

    Args:
        m: positions of a tile along each dimension.
        g: shape of the cotangent, `(batch, height, width, filters)`.
        channels: of the images.
    """
    back = (m + 2) ** 2 * channels * g[3] * TRANSFORM_FILTERS
    return _cost_of_tiles(m, tiles_of(m, g), channels, g[3]) + back


def filter_gradient(m: int, low: Ints, x: Ints, g: Ints) -> Native:
    """The kernel `filters, x, g`.

    Args:
        m: positions of a tile along each dimension, 2 or 4.
        low: zeros before the images, along both dimensions.
        x: shape, `(batch, height, 1, width, channels)`.
        g: shape of the cotangent.
    """
    channels, columns = x[-1], g[-1]
    points = (m + 2) ** 2
    lanes = host().lanes()
    width = panel_width(columns, DTYPE)
    share = _share(channels)
    tiled = tiling(m, low, x, g[1:4:2], _most(m, share, columns), 1)
    source = source_of(x, [tiled.axes], tiled.images, tiled.rows)
    outer, _, inner = tiled.axes
    back = [
        Axis(g[1], outer.positions, m, m),
        Axis(1, 1, 1),
        Axis(g[3], inner.positions, m, m),
    ]
    tiled_g = tiled._replace(axes=tuple(back))
    source_g = source_of(g, [tiled_g.axes], tiled.images, tiled.rows)
    planes = (tiled.tiles * share + APART, tiled.tiles * columns + APART)
    room = points * sum(planes)

    lines = outer.positions
    cuts = -(-lines // tiled.rows)
    blocks = -(-x[0] // tiled.images) * cuts
    size = points * channels * columns
    shares = channels // share
    sums = max(-(-_FEW_ITEMS // shares), min(_ITEMS // shares, _SUMS // (4 * size)))
    sums = min(sums, blocks)
    blocks_sum = -(-blocks // sums)
    sums = -(-blocks // blocks_sum)
    items = sums * shares
    height = next(n for n in range(tile_rows(width // lanes, host()), 0, -1) if share % n == 0)
    key = ("winograd filter gradient", m, height, width)
    tiles = x[0] * lines * inner.positions
    work = _cost_of_tiles(m, tiles, channels, columns)
    first = 3
    calls = [
        Call(
            function(key, _Gradient(m, height, width).write),
            (first, 1, 2, first + 1, first + 2, first + 3),
            (
                blocks, blocks_sum, cuts, tiled.rows, lines, inner.positions, tiled.tiles,
                channels, share, columns, -(-columns // width), *planes, room, size,
                source.steps[1], source_g.steps[1], *source.sizes, *source_g.sizes,
                *tile_offsets(tiled, source), *tile_offsets(tiled_g, source_g),
            ),
            items,
            work / items,
        ),
        Call(
            function(("winograd filters back", m), _Back(m).write),
            (0, first),
            (sums, channels, columns, size),
            channels,
            columns * points * (sums + 1) * 0.1,
        ),
    ]  # fmt: skip
    scratch = [
        Spec((sums, size), DTYPE),
        Spec((threads.count(), room), DTYPE),
        Spec((threads.count(), source.room), DTYPE),
        Spec((threads.count(), source_g.room), DTYPE),
    ]
    return native(calls, scratch)


_HEADER = (
    "blocks", "blocks_sum", "cuts", "rows", "lines", "line", "tiles", "channels", "share",
    "columns", "panels", "plane_x", "plane_g", "room", "size", "x_row", "g_row",
)  # fmt: skip


class _Gradient:
    """Writes the function whose items are shares of sums.

    Args:
        m: positions of a tile along each dimension.
        height: rows of a tile of products.
        width: columns of a panel.
    """

    def __init__(self, m: int, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.short = short(m)

    def write(self, code: Code) -> None:
        """Writes it."""
        self.code, points = code, self.short.points**2
        sums, x, g, memory, copies, copies_g = [code.array(i) for i in range(6)]
        self.size = size = {name: code.size(i) for i, name in enumerate(_HEADER)}
        at_g = len(_HEADER) + len(SOURCE)
        sizes = {name: code.size(len(_HEADER) + i) for i, name in enumerate(SOURCE)}
        sizes_g = {name: code.size(at_g + i) for i, name in enumerate(SOURCE)}
        table = code.number(at_g + len(SOURCE))
        planes = code.offset(memory, code.worker * size["room"], DTYPE)
        planes_g = code.offset(planes, size["plane_x"] * points, DTYPE)
        shares = size["channels"] // size["share"]
        with code.loop(code.begin, code.end) as item:
            number, share = item // shares, item % shares
            channel = share * size["share"]
            place = number * size["size"] + channel * size["columns"]
            into = code.offset(sums, place, DTYPE)
            start = number * size["blocks_sum"]
            stop = code.minimum(start + size["blocks_sum"], size["blocks"])
            with code.loop(start, stop) as cut:
                block, row = cut // size["cuts"], cut % size["cuts"] * size["rows"]
                source, images = write_source(code, sizes, DTYPE, x, copies, block, row)
                source_g, _ = write_source(code, sizes_g, DTYPE, g, copies_g, block, row)
                rows = code.minimum(size["rows"], size["lines"] - row)
                tiles = images * rows * size["line"]
                source = code.offset(source, channel, DTYPE)
                write_planes(
                    code, self.short.data, source, planes, size["plane_x"], tiles, size["share"],
                    size["channels"], size["x_row"], table,
                )  # fmt: skip
                write_planes(
                    code, transposed(self.short.output), source_g, planes_g, size["plane_g"],
                    tiles, size["columns"], size["columns"], size["g_row"], table + size["tiles"],
                )  # fmt: skip
                self._products(into, planes, planes_g, tiles, cut > start)

    def _products(
        self, into: Address, planes: Address, planes_g: Address, tiles: Value, again: Value
    ) -> None:
        """In each plane the products of channels and columns, added up over the tiles."""
        code, size = self.code, self.size
        vectors = self.width // code.lanes
        with (
            code.loop(0, self.short.points**2) as point,
            code.loop(0, size["panels"]) as panel,
        ):
            column = panel * self.width
            g = code.offset(planes_g, point * size["plane_g"] + column, DTYPE)
            place = point * size["channels"] * size["columns"] + column
            y = code.offset(into, place, DTYPE)
            left = size["columns"] - column
            masks = [code.first(left - j * code.lanes, code.lanes) for j in range(vectors)]
            with code.loop(0, size["share"], self.height) as row:
                x = code.offset(planes, point * size["plane_x"] + row, DTYPE)
                tile = Tile(code, self.height, vectors)
                y_at = [(row + i) * size["columns"] for i in range(self.height)]
                with code.when(again):
                    tile.load(y, y_at, masks)
                tile.accumulate(x, range(self.height), size["share"], g, size["columns"], tiles)
                tile.store(y, y_at, masks)


class _Back:
    """Writes the function whose items are channels: adds up the sums and transforms them back.

    Args:
        m: positions of a tile along each dimension.
    """

    def __init__(self, m: int) -> None:
        self.short = short(m)

    def write(self, code: Code) -> None:
        """Writes it."""
        out, parts = code.array(0), code.array(1)
        sums, channels, columns, size = [code.size(i) for i in range(4)]
        points = self.short.points
        with code.loop(code.begin, code.end) as item, code.loop(0, columns, code.lanes) as c:
            place = item * columns + c

            def total(i: int, j: Value, place: Value = place) -> Value:
                at = channels * columns * (j + i * points) + place
                found = code.var(code.load(parts, at, DTYPE, code.lanes))
                with code.loop(1, sums) as number:
                    part = code.load(parts, number * size + at, DTYPE, code.lanes)
                    found.set(found.value + part)
                return found.value

            def store(i: Value, j: int, value: Value, place: Value = place) -> None:
                code.store(value, out, channels * columns * (i * 3 + j) + place)

            both_sides(code, transposed(self.short.filters), total, store)
