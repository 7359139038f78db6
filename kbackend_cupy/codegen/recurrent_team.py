"""How the threads of a block share the steps of a recurrent layer.

Examples know nothing of each other, so a block takes a few of them through all steps, and blocks
never wait for each other. What a step costs is above all reading the recurrent weights. A part of
them stays in the registers from the first step to the last one. The others are read anew in each
step, from the caches: no more than a MiB lies in that of the device, and each block reads as much
of it as a multiprocessor can.
"""

from __future__ import annotations

from typing import NamedTuple

from kbackend_cupy.codegen.recurrent_cells import Cell
from kbackend_cupy.codegen.scalar import computed, itemsize

# Threads of a block, and of a warp. Numbers that are read together from shared memory.
_THREADS, _WARP, QUAD = 512, 32, 4
# Examples of a block -> numbers that a thread keeps of the weights; and so many fewer for a second
# state. So no kernel needs more than the 128 registers that 512 threads can have each.
_ROOM, _DOUBLE_ROOM, _STATE = {1: 64, 2: 48, 4: 32}, {1: 24, 2: 8}, 20
# Bytes of recurrent weights up to which a block goes through all steps. A multiprocessor is
# reckoned to get 110 bytes a nanosecond from the cache of an H100, so that 1 MiB takes 9.5 us; the
# five launches that a step is otherwise took about as long there (735 launches in 1567 us). Beyond
# that, one product for all examples, which reads the weights once, is the better way.
_MOST_WEIGHTS = 1 << 20
# What a device is reckoned to be, whichever it is, so that results don't depend on it:
# multiprocessors; bytes a nanosecond that one gets from its own cache, that one gets from the
# device's, and that all get together; bytes that its own cache holds beside its shared memory;
# multiplications a nanosecond; nanoseconds of a step besides.
_UNITS, _NEAR, _FAR, _ALL, _HOLDS, _RATE, _STEP = 132, 200, 110, 5500, 128 << 10, 200, 700


class Layer(NamedTuple):
    """A recurrent layer on a batch.

    Attributes:
        cell: what it computes.
        batch: examples.
        time: steps.
        features: numbers of a step's input.
        units: numbers of a state.
        dtype: of all of them.
    """

    cell: Cell
    batch: int
    time: int
    features: int
    units: int
    dtype: str

    @property
    def work(self) -> str:
        """The C++ type that numbers are computed in."""
        return computed(self.dtype)

    @property
    def wide(self) -> str:
        """The dtype of what lies in memory for a while."""
        return "float64" if self.dtype == "float64" else "float32"

    @property
    def small(self) -> bool:
        """Whether a block of threads should go through all steps."""
        weights = self.units**2 * self.cell.blocks * itemsize(self.dtype)
        return weights <= _MOST_WEIGHTS and self.units <= _THREADS


class Team(NamedTuple):
    """Who does what in a block.

    Attributes:
        across: threads for the units, side by side; a few at the end may have none.
        parts: of each sum, each done by a thread.
        examples: of the batch, that a block takes.
        inner: numbers that are multiplied with the weights of a unit, in a sum.
        share: of these, those of a part, a multiple of `QUAD`.
        held: of these, those whose weights stay in registers.
    """

    across: int
    parts: int
    examples: int
    inner: int
    share: int
    held: int

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.across * self.parts

    @property
    def own(self) -> int:
        """Examples whose states a thread has."""
        return -(-self.examples // self.parts)


def team(layer: Layer, columns: int, inner: int) -> Team:
    """The team that takes the fewest nanoseconds, as far as can be reckoned.

    Args:
        layer: what is computed.
        columns: sums of a unit in a step.
        inner: products of a sum.
    """
    double = layer.work == "double"
    across = -(-layer.units // _WARP) * _WARP
    parts = max(1, min(_THREADS // across, inner // (2 * QUAD)))
    share = -(-inner // (parts * QUAD)) * QUAD
    found = []
    for examples, room in (_DOUBLE_ROOM if double else _ROOM).items():
        own = -(-examples // parts)
        if own > 2:
            continue
        held = (room - (own - 1) * _STATE) // columns // QUAD * QUAD
        one = Team(across, parts, examples, inner, share, min(share, max(QUAD, held)))
        found.append((_cost(layer, one, columns), one))
    return min(found)[1]


def _cost(layer: Layer, one: Team, columns: int) -> float:
    """Nanoseconds of a step, roughly."""
    blocks = -(-layer.batch // one.examples)
    turns = -(-blocks // _UNITS)
    read = columns * layer.units * (one.inner - min(one.inner, one.parts * one.held))
    size = read * itemsize(layer.dtype)
    reading = size / _NEAR
    if size > _HOLDS:
        reading = max(size / _FAR, size * min(blocks, _UNITS) / _ALL)
    rate = _RATE / 2 if layer.work == "double" else _RATE
    multiplying = columns * layer.units * one.inner * one.examples / rate
    return turns * (max(reading, multiplying) + _STEP)
