"""Rows of matrices as tiles of two heights.

Tiles of both heights alternate, so that any run of neighbouring ones is as tall as others of its
length. What is left over is done twice: in the last tile a row that would be beyond the end is the
last one again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.target import Target
from kbackend_numba.codegen.tile import Tile
from kbackend_numba.codegen.value import Value

# Vectors side by side in a tile: more would leave less room for rows, whose numbers are read more
# cheaply than vectors.
VECTORS = 2


class Heights(NamedTuple):
    """How high tiles are.

    Attributes:
        low: rows of the lower ones.
        more: how many more the others have.
    """

    low: int
    more: int

    def cut(self, rows: int) -> tuple[int, int]:
        """How many tiles `rows` rows make, and how many of them are high."""
        tiles = -(-rows // (self.low + self.more))
        return tiles, max(0, -(-(rows - tiles * self.low) // self.more))


def heights(target: Target) -> Heights:
    """The heights that make the most of a CPU's registers."""
    return Heights(8, 4) if target.registers >= 32 else Heights(4, 2)


class Rows:
    """Rows as the code sees them.

    Args:
        code: where to write.
        count: how many rows.
        tiles: how many tiles.
        high: how many of these are high.
    """

    def __init__(self, code: Code, count: Value, tiles: Value, high: Value) -> None:
        self._code, self._count, self._tiles, self._high = code, count, tiles, high
        self._heights = heights(code.target)

    def start(self, tile: Value) -> Value:
        """The first row of a tile; behind the last tile the number of rows."""
        low, more = self._heights
        first = tile * low + tile * self._high // self._tiles * more
        return self._code.minimum(first, self._count)

    def each(self, begin: Value, end: Value, write: Callable[[list[Value]], None]) -> None:
        """Writes what to do for tiles from `begin` up to `end`, given the numbers of their rows."""
        code, (low, more) = self._code, self._heights
        with code.loop(begin, end) as tile:
            first, behind = self.start(tile), self.start(tile + 1)
            with code.either(behind - first > low) as (then, otherwise):
                with then:
                    write(self._numbers(first, low + more))
                with otherwise:
                    write(self._numbers(first, low))

    def _numbers(self, first: Value, height: int) -> list[Value]:
        return [self._code.minimum(first + i, self._count - 1) for i in range(height)]


def part(tile: Tile, first: int, last: int) -> Tile:
    """Some of the vectors of all rows of a tile: the same sums."""
    found = Tile(tile.code, tile.rows, last - first, tile.dtype)
    found.sums = [row[first:last] for row in tile.sums]
    return found
