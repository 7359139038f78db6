"""Going through the columns of a matrix by blocks that are a few vectors wide."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.finish import Part
from kbackend_numba.codegen.target import host
from kbackend_numba.codegen.value import Address, Type, Value

# Vectors of a block at most.
_WIDEST = 4


class Width(NamedTuple):
    """What code needs to know of the number of columns.

    Attributes:
        vectors: of a block.
        even: whether blocks come out even.
    """

    vectors: int
    even: bool


def width_of(columns: int, dtype: str) -> Width:
    """The blocks for a number of columns."""
    lanes = host().lanes(Type(dtype).bits // 8)
    vectors = -(-columns // lanes)
    if columns % lanes:
        return Width(min(vectors, _WIDEST), False)
    return Width(next(n for n in range(_WIDEST, 0, -1) if vectors % n == 0), True)


class Block:
    """Neighbouring columns that are done at once.

    Attributes:
        at: number of the first one.
        masks: for each vector which lanes there are; `None`: all.
    """

    def __init__(self, code: Code, dtype: str, at: Value, columns: Value, width: Width) -> None:
        self.code, self.dtype, self.at = code, dtype, at
        self.lanes = code.target.lanes(Type(dtype).bits // 8)
        self.masks: list[Value | None] = [
            None if width.even else code.first(columns - at - i * self.lanes, self.lanes)
            for i in range(width.vectors)
        ]

    def parts(self, row: Value) -> list[Part]:
        """The vectors of the block in a row that begins at element `row` of an array."""
        columns = [self.at + i * self.lanes for i in range(len(self.masks))]
        return [Part(row + at, at, mask) for at, mask in zip(columns, self.masks, strict=True)]

    def load(self, address: Address, row: Value) -> list[Value]:
        """The block in a row that begins at element `row` of an array."""
        return [
            self.code.load(address, row + self.at + i * self.lanes, self.dtype, self.lanes, mask)
            for i, mask in enumerate(self.masks)
        ]

    def store(self, values: list[Value], address: Address, row: Value) -> None:
        """Writes the block in a row."""
        for i, (value, mask) in enumerate(zip(values, self.masks, strict=True)):
            self.code.store(value, address, row + self.at + i * self.lanes, mask)


def each_block(
    code: Code,
    dtype: str,
    span: tuple[Value, Value],
    columns: Value,
    width: Width,
    body: Callable[[Block], None],
) -> None:
    """Writes `body` for blocks of columns.

    Args:
        code: where to write.
        dtype: of the elements.
        span: where the first block begins, and before which column the last one does.
        columns: how many columns there are.
        width: of a block.
        body: what to do.
    """
    step = width.vectors * code.target.lanes(Type(dtype).bits // 8)
    with code.loop(*span, step) as at:
        body(Block(code, dtype, at, columns, width))
