"""Tiles one below the other, for any number of rows.

Tiles of two heights cover any number. Where a row may be computed twice, one height is enough: the
last tile begins early, so that it ends where the rows end.
"""

from __future__ import annotations

from collections.abc import Iterator

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.tile import Tile
from kbackend_numba.codegen.value import Value


class Strip:
    """A strip of tiles. The first ones may be one row higher than the others.

    Args:
        code: where to write.
        rows: of the lower tiles.
        two_heights: whether there are higher ones.
        tall: how many of them.
        vectors: of a row.
        dtype: of the numbers.
        count: how many rows there are, if the last tile may begin early.
    """

    def __init__(
        self,
        code: Code,
        rows: int,
        two_heights: bool,
        tall: Value,
        vectors: int,
        dtype: str,
        count: Value | None = None,
    ) -> None:
        self._code, self._rows, self._two_heights, self._tall = code, rows, two_heights, tall
        self._count = count
        self.vectors, self.dtype = vectors, dtype

    def row(self, tile: Value) -> Value:
        """The first of the rows for which there is a tile, and no earlier one."""
        row = tile * self._rows + self._code.minimum(tile, self._tall)
        return row if self._count is None else self._code.minimum(row, self._count)

    def start(self, tile: Value) -> Value:
        """The first row of a tile."""
        row = self.row(tile)
        return row if self._count is None else self._code.minimum(row, self._count - self._rows)

    def rows(self, first: Value, last: Value) -> Iterator[tuple[int, Value, Value]]:
        """What is inside is written for each height: the rows of a tile, its number and first row.

        Args:
            first: number of the first tile.
            last: behind the last one.
        """
        code = self._code
        heights = [(self._rows, code.maximum(first, self._tall), last)]
        if self._two_heights:
            heights.insert(0, (self._rows + 1, first, code.minimum(last, self._tall)))
        for rows, start, stop in heights:
            with code.loop(start, stop) as number:
                yield rows, number, self.start(number)

    def tile(self, rows: int) -> Tile:
        """A tile of zeros."""
        return Tile(self._code, rows, self.vectors, self.dtype)

    def tiles(self, first: Value, last: Value) -> Iterator[tuple[Tile, Value, Value]]:
        """The same with tiles of zeros in place of how many rows they have."""
        for rows, number, row in self.rows(first, last):
            yield self.tile(rows), number, row
