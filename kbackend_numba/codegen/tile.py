"""A tile of sums in registers: the inner loop of matrix products and convolutions.

A tile has `rows` rows of `vectors` vectors. Each step of a reduction takes one number for each row,
spread over a vector, times one vector for each column, and adds the products to all sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kbackend_numba.codegen.code import Code, Var
from kbackend_numba.codegen.value import Address, Value

Index = Value | int

# Products in a turn of the loop.
_TURN = 16


class Tile:
    """Sums of products that are being made in registers.

    Args:
        code: where to write.
        rows: how many rows.
        vectors: how many vectors are side by side.
        dtype: of the numbers.

    Attributes:
        lanes: numbers in a vector.
        sums: of the rows, and in these of the vectors.
    """

    def __init__(self, code: Code, rows: int, vectors: int, dtype: str = "float32") -> None:
        self.code, self.dtype = code, dtype
        self.lanes = code.target.lanes(4 if dtype == "float32" else 8)
        self.rows, self.vectors = rows, vectors
        zero = code.number(0.0, dtype, self.lanes)
        self.sums: list[list[Var]] = [[code.var(zero) for _ in range(vectors)] for _ in range(rows)]

    def accumulate(
        self,
        x: Address,
        row_offsets: Sequence[Index],
        x_step: Index,
        w: Address,
        w_step: Index,
        count: Index,
        unroll: int = 0,
        beside: Callable[[Value], None] | None = None,
        masks: Sequence[Value | None] = (),
    ) -> None:
        """Adds the products of `count` steps.

        Args:
            x: numbers; row i of step k reads element `row_offsets[i] + k * x_step`.
            row_offsets: elements from `x` to each row.
            x_step: elements from one step to the next.
            w: vectors; vector j of step k is at element `k * w_step + j * lanes`.
            w_step: elements from one step to the next.
            count: how many steps.
            unroll: steps that are written out in one turn of the loop; 0: as many as make a turn
                worth its overhead. More would only strain the registers.
            beside: what else to do in a step, given its number.
            masks: see `step`.
        """
        code = self.code
        x_step, w_step = self._index(x_step), self._index(w_step)
        count = self._index(count)
        unroll = unroll or max(1, _TURN // (self.rows * self.vectors))
        whole = count - count % unroll if unroll > 1 else count
        with code.loop(0, whole, unroll) as k:
            for u in range(unroll):
                if beside is not None:
                    beside(k + u)
                self.step(x, row_offsets, (k + u) * x_step, w, (k + u) * w_step, masks)
        if unroll > 1:
            with code.loop(whole, count) as k:
                self.step(x, row_offsets, k * x_step, w, k * w_step, masks)

    def step(
        self,
        x: Address,
        row_offsets: Sequence[Index],
        x_at: Index,
        w: Address,
        w_at: Index,
        masks: Sequence[Value | None] = (),
    ) -> None:
        """Adds the products of one step, whose numbers and vectors begin at `x_at` and `w_at`.

        Where there are masks, lanes of vectors that they leave out count as zeros and aren't read.
        """
        code = self.code
        here = code.offset(w, w_at, self.dtype)
        columns = [
            code.load(here, j * self.lanes, self.dtype, self.lanes, masks[j] if masks else None)
            for j in range(self.vectors)
        ]
        there = code.offset(x, x_at, self.dtype)
        for row, offset in zip(self.sums, row_offsets, strict=True):
            number = code.splat(code.load(there, offset, self.dtype), self.lanes)
            for total, column in zip(row, columns, strict=True):
                total.set(code.fma(number, column, total.value))

    def prefetch(self, w: Address, w_at: Index) -> None:
        """Asks for the vectors that a step will read at `w_at`."""
        for j in range(self.vectors):
            self.code.prefetch(w, self._index(w_at) + j * self.lanes, self.dtype)

    def load(self, y: Address, row_offsets: Sequence[Index], masks: Sequence[Value | None]) -> None:
        """Begins with what stands in an array; see `store`."""
        for row, offset in zip(self.sums, row_offsets, strict=True):
            for j, (total, mask) in enumerate(zip(row, masks, strict=True)):
                place = self._index(offset) + j * self.lanes
                total.set(self.code.load(y, place, self.dtype, self.lanes, mask))

    def store(
        self,
        y: Address,
        row_offsets: Sequence[Index],
        masks: Sequence[Value | None],
        last: Callable[[Value, int, int], Value] | None = None,
    ) -> None:
        """Writes the sums.

        Args:
            y: where to; row i is at element `row_offsets[i]`.
            row_offsets: elements from `y` to each row.
            masks: for each vector which lanes to write; `None` for all.
            last: what becomes of a vector of sums before, by row and vector.
        """
        for i, (row, offset) in enumerate(zip(self.sums, row_offsets, strict=True)):
            for j, (total, mask) in enumerate(zip(row, masks, strict=True)):
                value = total.value if last is None else last(total.value, i, j)
                self.code.store(value, y, self._index(offset) + j * self.lanes, mask)

    def _index(self, value: Index) -> Value:
        return value if isinstance(value, Value) else self.code.number(value)


class LaneTile(Tile):
    """A tile whose rows read a number of their own for each lane: what stays apart by channels.

    Where groups of lanes share their numbers, a step has a product of each lane with each number of
    its group: the vector of numbers is turned within the groups, and each turn has a vector of the
    columns' of its own.

    Args:
        code: where to write.
        rows: how many rows.
        vectors: how many vectors are side by side.
        dtype: of the numbers.
        masks: for each vector which lanes to read; `None` for all.
        share: lanes of a group, a power of 2.
    """

    def __init__(
        self,
        code: Code,
        rows: int,
        vectors: int,
        dtype: str,
        masks: Sequence[Value | None],
        share: int = 1,
    ) -> None:
        super().__init__(code, rows, vectors, dtype)
        self.masks, self.share = masks, share

    def step(
        self,
        x: Address,
        row_offsets: Sequence[Index],
        x_at: Index,
        w: Address,
        w_at: Index,
        masks: Sequence[Value | None] = (),
    ) -> None:
        """Adds the products of one step; see `Tile.step`."""
        code = self.code
        here, there = code.offset(w, w_at, self.dtype), code.offset(x, x_at, self.dtype)
        for j, mask in enumerate(self.masks):
            at = j * self.lanes
            own = masks[j] if masks else None
            columns = [
                code.load(here, turn * self.vectors * self.lanes + at, self.dtype, self.lanes, own)
                for turn in range(self.share)
            ]
            for row, offset in zip(self.sums, row_offsets, strict=True):
                numbers = code.load(there, self._index(offset) + at, self.dtype, self.lanes, mask)
                for turn, column in enumerate(columns):
                    row[j].set(code.fma(turned(numbers, turn), column, row[j].value))


class GroupTile(Tile):
    """A tile of the products of each lane with each number of its group of lanes.

    Its rows come group by group: in all rows of a group stand products with the same vector, in
    row i those of each lane with number i of the lane's group.

    Args:
        code: where to write.
        rows: how many rows, a multiple of `share`.
        dtype: of the numbers.
        mask: which lanes to read; `None` for all.
        share: lanes of a group, a power of 2.
    """

    def __init__(self, code: Code, rows: int, dtype: str, mask: Value | None, share: int) -> None:
        super().__init__(code, rows, 1, dtype)
        self.mask, self.share = mask, share

    def step(
        self,
        x: Address,
        row_offsets: Sequence[Index],
        x_at: Index,
        w: Address,
        w_at: Index,
        masks: Sequence[Value | None] = (),
    ) -> None:
        """Adds the products of one step; see `Tile.step`. A group's rows have one offset."""
        code = self.code
        column = code.load(w, w_at, self.dtype, self.lanes, masks[0] if masks else None)
        there = code.offset(x, x_at, self.dtype)
        for first in range(0, self.rows, self.share):
            at = row_offsets[first]
            numbers = code.load(there, at, self.dtype, self.lanes, self.mask)
            for turn in range(self.share):
                # Row by row these are the numbers of one turn, not of one place in the group.
                (total,) = self.sums[first + turn]
                total.set(code.fma(turned(numbers, turn), column, total.value))

    def load(self, y: Address, row_offsets: Sequence[Index], masks: Sequence[Value | None]) -> None:
        """Begins with what stands in an array; see `Tile.store`."""
        super().load(y, row_offsets, masks)
        self._exchange()

    def store(
        self,
        y: Address,
        row_offsets: Sequence[Index],
        masks: Sequence[Value | None],
        last: Callable[[Value, int, int], Value] | None = None,
    ) -> None:
        """Writes the sums; see `Tile.store`."""
        self._exchange()
        super().store(y, row_offsets, masks, last)

    def _exchange(self) -> None:
        """Between rows of turns and rows of places: a lane's place is its turn from the lane."""
        code = self.code
        for first in range(0, self.rows, self.share):
            old = [self.sums[first + i][0].value for i in range(self.share)]
            for i in range(self.share):
                made = old[0]
                for other in range(1, self.share):
                    lanes = [(lane ^ i) % self.share == other for lane in range(self.lanes)]
                    made = code.select(code.vector(lanes, "bool"), old[other], made)
                self.sums[first + i][0].set(made)


def turned(numbers: Value, turn: int) -> Value:
    """A vector whose lane i is lane i ^ turn of another."""
    if not turn:
        return numbers
    lanes = numbers.type.lanes
    return numbers.code.shuffle(numbers, numbers, [lane ^ turn for lane in range(lanes)])
