"""Rows of matrices as tiles.

Most tiles are three or two units high. Those alternate, so that any run of neighbouring ones is
as tall as others of its length. Rows that don't make a unit are left to low tiles at the end: in
these a row that would be beyond the end is the last one again.
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


def rounded(target: Target, rows: int) -> int:
    """As many rows as all tiles have together, which may be a few more."""
    one = unit(target)
    return -(-rows // one) * one


class Some(NamedTuple):
    """The rows of a tile.

    Attributes:
        first: number of the first one.
        after: how far each one is from it.
    """

    first: Value
    after: list[Value] | list[int]

    def times(self, step: Value | int) -> tuple[Value, list[Value | int]]:
        """Elements to the first row, and from it to each, where rows are `step` apart."""
        return self.first * step, [distance * step for distance in self.after]


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

    def each(
        self,
        begin: Value,
        end: Value,
        write: Callable[[Some], None],
        after: Callable[[Value, Value], None] = lambda first, behind: None,
    ) -> None:
        """Writes what to do for tiles from `begin` up to `end`.

        Args:
            begin: number of the first tile.
            end: behind the last tile.
            write: called with the rows of a tile, once for each height.
            after: called with its first row and the one behind its last, once.
        """
        code, one = self._code, self._unit
        with code.loop(begin, end) as tile:
            first, behind = self.start(tile), self.start(tile + 1)
            with code.either(behind - first > 2 * one) as (high, others):
                with high:
                    write(Some(first, list(range(3 * one))))
                with others, code.either(tile < self._main) as (low, last):
                    with low:
                        write(Some(first, list(range(2 * one))))
                    with last:
                        left = self._count - 1 - first
                        write(Some(first, [code.minimum(left, i) for i in range(one)]))
            after(first, behind)


def part(tile: Tile, first: int, last: int) -> Tile:
    """Some of the vectors of all rows of a tile: the same sums."""
    found = Tile(tile.code, tile.rows, last - first, tile.dtype)
    found.sums = [row[first:last] for row in tile.sums]
    return found
