"""Rows of matrices as tiles.

Most tiles are three or two units high. Those alternate, so that any run of neighbouring ones is
as tall as others of its length. Rows that don't make a unit are left to low tiles at the end: in
these a row that would be beyond the end is the last one again.
"""

from __future__ import annotations

from collections.abc import Callable

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.target import Target
from kbackend_numba.codegen.tile import Tile
from kbackend_numba.codegen.value import Value

# Vectors side by side in a tile: more would leave less room for rows, whose numbers are read more
# cheaply than vectors.
VECTORS = 2


def unit(target: Target) -> int:
    """Rows of a unit: three of them fill a CPU's registers."""
    return 4 if target.registers >= 32 else 2


def cut(target: Target, rows: int) -> tuple[int, int, int]:
    """How many tiles rows make, how many of these come before the last, low ones, and how many are
    three units high."""
    one = unit(target)
    units = rows // one if rows >= 2 * one else 0
    main = -(-units // 3)
    return main + -(-(rows - units * one) // one), main, units - 2 * main


class Rows:
    """Rows as the code sees them.

    Args:
        code: where to write.
        count: how many rows.
        main: how many tiles come before the last, low ones.
        high: how many of these are three units high.
    """

    def __init__(self, code: Code, count: Value, main: Value, high: Value) -> None:
        self._code, self._count, self._main, self._high = code, count, main, high
        self._unit = unit(code.target)

    def start(self, tile: Value) -> Value:
        """The first row of a tile; behind the last tile the number of rows."""
        code = self._code
        before = code.minimum(tile, self._main)
        units = before + tile + before * self._high // code.maximum(self._main, 1)
        return code.minimum(units * self._unit, self._count)

    def each(self, begin: Value, end: Value, write: Callable[[list[Value]], None]) -> None:
        """Writes what to do for tiles from `begin` up to `end`, given the numbers of their rows."""
        code = self._code
        with code.loop(begin, code.minimum(end, self._main)) as tile:
            first, behind = self.start(tile), self.start(tile + 1)
            with code.either(behind - first > 2 * self._unit) as (then, otherwise):
                for context, units in ((then, 3), (otherwise, 2)):
                    with context:
                        write([first + i for i in range(units * self._unit)])
        with code.loop(code.maximum(begin, self._main), end) as tile:
            first = self.start(tile)
            write([code.minimum(first + i, self._count - 1) for i in range(self._unit)])


def part(tile: Tile, first: int, last: int) -> Tile:
    """Some of the vectors of all rows of a tile: the same sums."""
    found = Tile(tile.code, tile.rows, last - first, tile.dtype)
    found.sums = [row[first:last] for row in tile.sums]
    return found
