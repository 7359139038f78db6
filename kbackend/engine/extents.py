"""Which memory the steps of a planned program read and write: whether their order matters."""

from __future__ import annotations

from collections.abc import Sequence

from kbackend.base.dtypes import itemsize
from kbackend.engine.program import ARENA, FRESH, Program, Spec, Step
from kbackend.engine.strides import contiguous_strides

# (what it is a part of, first byte, byte behind the last)
Extent = tuple[object, int, int]


class Extents:
    """What steps read and write.

    Args:
        program: that they belong to.
        step: the first of them.

    Attributes:
        reads: memory of the inputs.
        writes: memory of outputs and scratch.
    """

    def __init__(self, program: Program, step: Step) -> None:
        self.reads = [_extent(program, value) for value in dict.fromkeys(step.inputs)]
        self.writes = [_extent(program, value) for value in step.outputs]
        if step.prepared is not None:
            for spec, offset in zip(step.prepared.scratch, step.scratch, strict=True):
                self.writes.append((ARENA, offset, offset + spec.size * itemsize(spec.dtype)))

    def apart(self, other: Extents) -> bool:
        """Whether neither writes what the other one touches."""
        return not (
            _touch(self.writes, other.writes)
            or _touch(self.writes, other.reads)
            or _touch(self.reads, other.writes)
        )

    def add(self, other: Extents) -> None:
        """Makes another's memory its own."""
        self.reads += other.reads
        self.writes += other.writes


def _extent(program: Program, value: int) -> Extent:
    """The memory from a value's first byte to its last."""
    place, spec = program.places[value], program.specs[value]
    below, above = _span(spec, place.strides)
    base: object = ("fresh", value) if place.base == FRESH else place.base
    return base, place.offset + below, place.offset + above


def _span(spec: Spec, strides: tuple[int, ...] | None) -> tuple[int, int]:
    size = itemsize(spec.dtype)
    if not spec.size:
        return 0, 0
    steps = strides or tuple([s * size for s in contiguous_strides(spec.shape)])
    reach = [step * (dim - 1) for step, dim in zip(steps, spec.shape, strict=True)]
    return sum(r for r in reach if r < 0), sum(r for r in reach if r > 0) + size


def _touch(some: Sequence[Extent], others: Sequence[Extent]) -> bool:
    return any(
        base == other and begin < end_ and begin_ < end
        for base, begin, end in some
        for other, begin_, end_ in others
    )
