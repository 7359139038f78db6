"""Normalisation of a matrix: how its rows are cut into parts for threads and blocks for caches."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from kbackend.engine.program import Spec
from kbackend_numpy import threads
from kbackend_numpy.kernels.blocks import BLOCK
from kbackend_numpy.kernels.parts import run_parts

Array = Any
Ints = tuple[int, ...]

# Short rows are joined until they have at least this many elements, where that comes out even: as
# many as a short buffer has.
_WIDTH = 2048
# Nanoseconds of work from which on threads share it: blocks end often, and wait for each other.
_LARGE = 3 * threads.WORTH_SPLITTING


class Plan(NamedTuple):
    """A kernel on matrices, with the shapes of its scratch arrays and its work on one thread."""

    run: Callable[..., None]
    scratch: tuple[Ints, ...]
    work: float


class Cut:
    """The rows of a matrix in parts of blocks.

    Args:
        rows: how many.
        columns: how many.
        itemsize: bytes of an element.
        cost: nanoseconds per element.

    Attributes:
        parts: the blocks of each part. Which rows make up a part does not depend on the threads
            that happen to be free, so that sums come out the same each time.
        step: rows of a block.
    """

    def __init__(self, rows: int, columns: int, itemsize: int, cost: float) -> None:
        work = cost * rows * columns
        large = work >= _LARGE
        self.work = work if large and threads.count() > 1 else 0.0
        self.step = max(1, min(rows, BLOCK // (columns * itemsize)))
        blocks = [(i, min(i + self.step, rows)) for i in range(0, rows, self.step)]
        cuts = threads.ranges(len(blocks), threads.count() if large else 1)
        self.parts = [blocks[first:stop] for first, stop in cuts]

    def run(self, part: Callable[[int], None]) -> None:
        """Calls `part(index)` for all parts."""
        if len(self.parts) > 1:
            run_parts(lambda index, worker: part(index), len(self.parts), len(self.parts))
        else:
            with threads.many_calls:
                part(0)


def joined(rows: int, columns: int, width: int = _WIDTH) -> int:
    """How many rows to take as one, so that inner loops are not too short."""
    count = 1
    while count * columns < width and rows % (2 * count) == 0:
        count *= 2
    return count


@lru_cache(maxsize=256)
def ones(size: int, dtype: Any) -> Array:
    """A vector of ones that nobody may change."""
    made = np.ones(size, dtype)
    made.setflags(write=False)
    return made


def contiguous_inputs(
    run: Callable[..., None], made: int, inputs: tuple[Spec, ...], scratch: tuple[Spec, ...]
) -> tuple[Callable[..., None], tuple[Spec, ...]]:
    """`run` after copies of inputs that are not contiguous, and its scratch with room for these.

    Args:
        run: a kernel as in `Prepared`.
        made: how many outputs it has.
        inputs: of the kernel.
        scratch: of the kernel.
    """
    strided = [i for i, spec in enumerate(inputs) if not spec.contiguous]
    if not strided:
        return run, scratch
    own = len(strided)

    def copied(*args: Array) -> None:
        arrays = list(args[:-own])
        for i, copy in zip(strided, args[-own:], strict=True):
            np.copyto(copy, arrays[made + i])
            arrays[made + i] = copy
        run(*arrays)

    return copied, (*scratch, *[inputs[i]._replace(strides=None) for i in strided])
