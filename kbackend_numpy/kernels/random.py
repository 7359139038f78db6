"""Random bits from the Philox generator that NumPy ships.

A generator is expensive to make and cheap to set, so a few are kept. Any block of bits can be
computed without those before it: threads each begin at a counter of their own.
"""

from __future__ import annotations

import sys
from math import prod
from typing import Any

import numpy as np

from kbackend.engine.array_module.random import KEY
from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numpy import threads

Array = np.ndarray[Any, Any]

# Words that are drawn at a time: NumPy puts them in memory of its own.
_CHUNK = 8192
# Words in a block of the generator.
_BLOCK = 4
# Nanoseconds for a word.
_COST = 3.0


class _Source:
    """A generator that is set before each use."""

    def __init__(self) -> None:
        self.generator = np.random.Philox(key=np.zeros(2, np.uint64))
        self.state: Any = self.generator.state

    def words(self, seed: int, counter: int, first: int, out: Array) -> None:
        """Fills `out` with the words from number `first` on, which begins a block."""
        # NumPy adds one to the counter before each block, so the first block is number 1.
        self.state["state"]["counter"][:2] = first // _BLOCK, counter
        self.state["state"]["key"][:] = seed, KEY
        self.generator.state = self.state
        for start in range(0, len(out), _CHUNK):
            part = out[start : start + _CHUNK]
            np.copyto(part, self.generator.random_raw(len(part)))


# Sources that no thread is using.
_spare: list[_Source] = []


def _words(seed: int, counter: int, first: int, out: Array) -> None:
    try:
        source = _spare.pop()
    except IndexError:
        source = _Source()
    source.words(seed, counter, first, out)
    _spare.append(source)


def _fill(out: Array, state: Array, cuts: list[tuple[int, int]]) -> None:
    """Fills a vector of words; `cuts` are its parts in blocks."""
    seed, counter = state.tolist()
    if len(cuts) == 1 or not threads.active():
        _words(seed, counter, 0, out)
        return

    def part(index: int, worker: int) -> None:
        first, stop = cuts[index]
        _words(seed, counter, first * _BLOCK, out[first * _BLOCK : stop * _BLOCK])

    threads.split(part, len(cuts))


def random_bits(state: Array, shape: tuple[int, ...], width: int) -> Array:
    count = prod(shape)
    words = np.empty(count if width == 64 else -(-count // 2), np.uint64)
    _fill(words, state, [(0, 0)])
    if width == 64:
        return words.reshape(shape)
    # Little-endian words hold the low half first.
    halves = words.astype("<u8", copy=False).view("<u4").astype(np.uint32, copy=False)
    return halves[:count].reshape(shape)


def _prepare(
    inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], shape: tuple[int, ...], width: int
) -> Prepared | None:
    count = prod(shape)
    if sys.byteorder != "little":
        return None
    odd = width == 32 and count % 2 == 1
    words = count if width == 64 else -(-count // 2)
    work = words * _COST
    large = work >= threads.WORTH_SPLITTING
    cuts = threads.ranges(-(-words // _BLOCK), threads.count() if large else 1)

    def run(out: Array, state: Array) -> None:
        _fill(out.reshape(-1).view(np.uint64), state, cuts)

    def run_odd(out: Array, state: Array, room: Array) -> None:
        _fill(room, state, cuts)
        np.copyto(out.reshape(-1), room.view(np.uint32)[:count])

    work = work if large else 0.0
    if odd:
        return Prepared(run_odd, (Spec((words,), "uint64"),), work=work)
    return Prepared(run, work=work)


KERNELS: dict[str, Kernel] = {"random_bits": Kernel(random_bits, prepare=_prepare)}
