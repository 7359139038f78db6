"""How Winograd's method cuts an array into tiles, and these into planes.

A tile's number in each plane is a vector of channels. Tiles are given to the code by tables of
offsets, see `conv_source`.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.codegen.winograd import Matrix, both_sides
from kbackend_numba.kernels.conv_source import Source, three
from kbackend_numpy.kernels.conv_axes import Axis

Ints = tuple[int, ...]

DTYPE = "float32"
# Elements between planes, so that they don't share lines of the cache.
APART = 16
# Nanoseconds to transform a number of a plane there or back, and one of the filters.
TRANSFORM, TRANSFORM_FILTERS = 0.15, 0.3


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


def tiles_of(m: int, y: Ints) -> int:
    """Tiles of `m` by `m` positions that a result `(batch, height, width, filters)` has."""
    return y[0] * -(-y[1] // m) * -(-y[2] // m)


def tiling(m: int, low: Ints, x: Ints, part: Ints, most: int, height: int) -> Tiling:
    """How to cut a result.

    Args:
        m: positions of a tile along each dimension.
        low: zeros before the source, along both dimensions.
        x: shape of the source, `(batch, height, 1, width, channels)`.
        part: rows and columns of the result.
        most: tiles in a block.
        height: their number should be a multiple of this.
    """
    axes = three(
        [
            Axis(size, -(-results // m), m + 2, m, 1, -zeros)
            for size, results, zeros in zip(x[1:4:2], part, low, strict=True)
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


def tile_offsets(tiled: Tiling, source: Source) -> list[int]:
    """Offsets of a block's tiles in the source."""
    indices = [a.start + a.stride * np.arange(a.positions) for a in tiled.axes]
    indices[0] = indices[0][: tiled.rows]
    offsets = source.offsets(np.arange(tiled.images), *indices)
    return [int(offset) for offset in offsets.reshape(-1)]


def write_planes(
    code: Code,
    matrix: Matrix,
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
    lanes = code.lanes
    with code.loop(0, tiles) as tile:
        here = code.offset(source, code.size(table + tile), DTYPE)
        there = code.offset(planes, tile * channels, DTYPE)
        with code.loop(0, channels, lanes) as c:

            def load(i: int, j: Value, here: Address = here, c: Value = c) -> Value:
                return code.load(here, row * i + pixel * j + c, DTYPE, lanes)

            def store(i: Value, j: int, value: Value, there: Address = there, c: Value = c) -> None:
                code.store(value, there, plane * (i * len(matrix) + j) + c)

            both_sides(code, matrix, load, store)
