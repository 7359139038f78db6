"""Loops over the elements of arrays that broadcast to one shape, vector by vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from kbackend_numba.codegen.code import Code, Var
from kbackend_numba.codegen.value import Address, Value

# How the elements of an array lie along the innermost loop.
SAME = "same"  # as the results do: contiguous over all loops
ROW = "row"  # side by side
ONE = "one"  # one element for all
KEPT = "kept"  # one element for all of a row, where a row is several loops
STEPS = "steps"  # at equal distances


class Span(NamedTuple):
    """Elements of the innermost loop that are done at once.

    Attributes:
        at: number of the first one.
        lanes: how many.
        mask: which of them there are; `None`: all.
        whole: whether all are there, where only the running code knows; then `mask` counts if not.
    """

    at: Value
    lanes: int
    mask: Value | None = None
    whole: Value | None = None

    def load(self, code: Code, address: Address, index: Value, dtype: str) -> Value:
        """The elements of an array from `index` on."""
        if self.whole is None:
            return code.load(address, index, dtype, self.lanes, self.mask)
        found = code.var(code.number(0, dtype, self.lanes))
        with code.either(self.whole) as (then, otherwise):
            with then:
                found.set(code.load(address, index, dtype, self.lanes))
            with otherwise:
                found.set(code.load(address, index, dtype, self.lanes, self.mask))
        return found.value

    def store(self, code: Code, values: Sequence[tuple[Value, Address]], index: Value) -> None:
        """Writes vectors to arrays from `index` on."""
        if self.whole is None:
            for value, address in values:
                code.store(value, address, index, self.mask)
            return
        with code.either(self.whole) as (then, otherwise):
            with then:
                for value, address in values:
                    code.store(value, address, index)
            with otherwise:
                for value, address in values:
                    code.store(value, address, index, self.mask)


# Vectors that a turn of a loop does where it is short. A power of two.
UNROLL = 2


def spans(
    code: Code,
    start: Value,
    stop: Value,
    lanes: int,
    body: Callable[[Span, int], None],
    turn: int = UNROLL,
) -> None:
    """Writes `body` for the elements from `start` up to `stop`.

    Args:
        code: where to write.
        start: a number of an element.
        stop: another one.
        lanes: how many elements are done at once.
        body: what to do with a span, and the number of that span in its turn of the loop.
        turn: spans that a turn of the loop does, a power of two; 0: one, whether it is full or not,
            so that a long body is written only once.
    """
    if not turn:
        with code.loop(start, stop, lanes) as at:
            left = stop - at
            body(Span(at, lanes, code.first(left, lanes), left >= lanes), 0)
        return
    length = stop - start
    whole = start + (length - (length & (turn * lanes - 1)))
    with code.loop(start, whole, turn * lanes) as at:
        for i in range(turn):
            body(Span(at + i * lanes, lanes), i)
    with code.loop(whole, stop, lanes) as at:
        body(Span(at, lanes, code.first(stop - at, lanes)), 0)


class Odometer:
    """Indices of the outer loops, and what follows from them, carried from row to row.

    Args:
        code: where to write.
        row: number of the first row.
        dims: sizes of the outer dimensions.
        strides: for each array the elements from one index to the next of each dimension.
    """

    def __init__(
        self, code: Code, row: Value, dims: Sequence[Value], strides: Sequence[Sequence[Value]]
    ) -> None:
        self._code, self._dims, self._strides = code, dims, strides
        zero = code.number(0)
        offsets = [zero] * len(strides)
        indices: list[Value] = []
        for axis in range(len(dims) - 1, -1, -1):
            index = row % dims[axis] if axis else row
            row = row // dims[axis] if axis else row
            indices.insert(0, index)
            offsets = [o + index * s[axis] for o, s in zip(offsets, strides, strict=True)]
        self._indices: list[Var] = [code.var(index) for index in indices]
        self._offsets: list[Var] = [code.var(offset) for offset in offsets]

    @property
    def offsets(self) -> list[Value]:
        """Where the row begins in each array."""
        return [offset.value for offset in self._offsets]

    def step(self) -> None:
        """Goes to the next row."""
        if self._indices:
            self._advance(len(self._indices) - 1)

    def _advance(self, axis: int) -> None:
        code = self._code
        for offset, strides in zip(self._offsets, self._strides, strict=True):
            offset.set(offset.value + strides[axis])
        if axis == 0:
            return
        index = self._indices[axis]
        index.set(index.value + 1)
        with code.when(index.value >= self._dims[axis]):
            for offset, strides in zip(self._offsets, self._strides, strict=True):
                offset.set(offset.value - self._dims[axis] * strides[axis])
            index.set(code.number(0))
            self._advance(axis - 1)


@contextmanager
def rows(
    code: Code,
    start: Value,
    stop: Value,
    dims: Sequence[Value],
    strides: Sequence[Sequence[Value]],
) -> Iterator[tuple[Value, list[Value]]]:
    """Runs what is inside for rows: number of the row, and where it begins in each array.

    Args:
        code: where to write.
        start: the first row.
        stop: behind the last.
        dims: see `Odometer`.
        strides: see `Odometer`.
    """
    odometer = Odometer(code, start, dims, strides)
    with code.loop(start, stop) as row:
        yield row, odometer.offsets
        odometer.step()
