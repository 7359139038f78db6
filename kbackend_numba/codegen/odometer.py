"""Places in arrays of several dimensions, one after the other, without a division for each."""

from __future__ import annotations

from collections.abc import Sequence

from kbackend_numba.codegen.code import Code, Var
from kbackend_numba.codegen.value import Value


class Odometer:
    """Indices that count on like the wheels of an odometer, the last one fastest.

    Args:
        code: where to write.
        sizes: of the dimensions.
        steps: for each array, elements from one index to the next along the dimensions.
        start: how many places come before the first one wanted.

    Attributes:
        indices: of the place.
        offsets: for each array, elements from its beginning to the place.
    """

    def __init__(
        self, code: Code, sizes: Sequence[Value], steps: Sequence[Sequence[Value]], start: Value
    ) -> None:
        self._code, self._sizes, self._steps = code, sizes, steps
        indices: list[Value] = []
        for size in reversed(sizes):
            indices.insert(0, start % size)
            start = start // size
        self.indices: list[Var] = [code.var(index) for index in indices]
        self.offsets: list[Var] = []
        for own in steps:
            offset = code.number(0)
            for index, step in zip(indices, own, strict=True):
                offset = offset + index * step
            self.offsets.append(code.var(offset))

    def advance(self) -> None:
        """Goes on to the next place."""
        self._turn(len(self._sizes) - 1)

    def _turn(self, wheel: int) -> None:
        if wheel < 0:
            return
        size, index = self._sizes[wheel], self.indices[wheel]
        index.set(index.value + 1)
        for offset, own in zip(self.offsets, self._steps, strict=True):
            offset.set(offset.value + own[wheel])
        if wheel == 0:
            return
        with self._code.when(index.value.equals(size)):
            index.set(0)
            for offset, own in zip(self.offsets, self._steps, strict=True):
                offset.set(offset.value - size * own[wheel])
            self._turn(wheel - 1)
