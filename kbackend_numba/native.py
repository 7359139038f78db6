"""Compiled kernels as the compiler of programs sees them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kbackend.engine.program import Ints, Prepared, Spec
from kbackend_numba import threads
from kbackend_numba.codegen import runtime
from kbackend_numba.codegen.compile import Function
from kbackend_numba.codegen.together import together

# Nanoseconds that a call must take before other threads help, and that a chunk of it should take.
_WORTH_SHARING = 12_000.0
_WORTH_A_CHUNK = 4_000.0
# Chunks for each thread: so that one that comes late leaves little behind.
_CHUNKS = 4


@dataclass(frozen=True)
class Call:
    """One call of a compiled function. Calls follow each other; the next sees all that this wrote.

    Attributes:
        function: what to call.
        arrays: which arrays it is given: positions among outputs, inputs and scratch, in a row.
        sizes: the integers that it is given.
        items: into how many independent items its work is cut.
        cost: nanoseconds that an item takes on one thread, roughly.
        grain: how many neighbouring items are faster together, where that leaves no thread idle.
    """

    function: Function
    arrays: Ints
    sizes: Ints
    items: int = 1
    cost: float = 1e9
    grain: int = 1

    @property
    def work(self) -> float:
        """Nanoseconds that all of it takes on one thread."""
        return self.items * self.cost if self.items > 1 else 0.0

    def record(self, function: int, arrays: int, sizes: int) -> list[int]:
        """The words of the runtime's record.

        Args:
            function: address of the function.
            arrays: address of the table of the arrays' addresses.
            sizes: address of the sizes.
        """
        shared = self.items > 1 and self.work > _WORTH_SHARING
        chunk = self.items
        if shared:
            chunk = max(
                1,
                round(_WORTH_A_CHUNK / self.cost),
                -(-self.items // (_CHUNKS * threads.count())),
                min(self.grain, -(-self.items // threads.count())),
                -(-self.items // runtime.MOST_CHUNKS),
            )
        return [function, arrays, sizes, self.items, chunk, int(shared)]


class Check(NamedTuple):
    """Looks at what compiled functions have written, because they can't raise errors.

    Attributes:
        function: called with the arrays. It raises what is to be raised.
        arrays: which ones: positions among outputs, inputs and scratch, in a row.
    """

    function: Callable[..., None]
    arrays: Ints


@dataclass(frozen=True)
class Native(Prepared):
    """A kernel that is nothing but calls of compiled functions.

    Attributes:
        calls: in their order.
        check: what has to look at the outcome before anything else is done.
    """

    calls: tuple[Call, ...] = ()
    check: Check | None = None


def native(
    calls: Sequence[Call],
    scratch: Sequence[Spec] = (),
    overwrites: Sequence[tuple[int, int]] = (),
    check: Check | None = None,
) -> Native:
    """A kernel made of compiled functions.

    Args:
        calls: in their order.
        scratch: arrays that they need besides outputs and inputs.
        overwrites: see `Prepared`.
        check: see `Native`.
    """
    calls = tuple(calls)

    def run(*arrays: Any) -> None:
        tape = Tape()
        for call in calls:
            pointers = tape.add(call)
            for position, place in enumerate(call.arrays):
                pointers[position] = arrays[place]
        tape()
        if check is not None:
            check.function(*[arrays[place] for place in check.arrays])

    return Native(run, tuple(scratch), tuple(overwrites), 0.0, calls, check)


class Pointers:
    """The addresses of the arrays that a call is given. What is set as an array is kept alive."""

    __slots__ = ("_arrays", "_table", "address")

    def __init__(self, count: int) -> None:
        self._table = np.zeros(max(count, 1), np.int64)
        self._arrays: list[Any] = [None] * count
        self.address = int(self._table.ctypes.data)

    def __setitem__(self, position: int, array: Any) -> None:
        self._arrays[position] = array
        self._table[position] = array.__array_interface__["data"][0]


class _Ready(NamedTuple):
    """A call with the tables that it is given."""

    call: Call
    pointers: Pointers
    sizes: Any

    @property
    def words(self) -> list[int]:
        """Addresses of the function and of the tables."""
        return [self.call.function.address, self.pointers.address, int(self.sizes.ctypes.data)]


def _ready(call: Call) -> _Ready:
    return _Ready(call, Pointers(len(call.arrays)), np.array(call.sizes or (0,), np.int64))


def _joined(members: list[_Ready]) -> _Ready:
    """One call that does the items of several, none of which needs another."""
    if len(members) == 1:
        return members[0]
    words, items, work = [len(members)], 0, 0.0
    for member in members:
        words += [*member.words, items]
        items += member.call.items
        work += member.call.items * member.call.cost
    # An end for the last one, where the next one's first item would be.
    words += [0, 0, 0, items]
    return _ready(Call(together(), (), tuple(words), items, work / items))


class Tape:
    """Calls that are run one after the other without going back to Python."""

    def __init__(self) -> None:
        # Calls of one entry are run at once.
        self._entries: list[list[_Ready]] = []
        self._ready: list[_Ready] = []
        self._records: Any = None
        self._size = 0
        self.work = 0.0

    def add(self, call: Call, joined: bool = False) -> Pointers:
        """Appends a call; where to put the addresses of its arrays.

        Args:
            call: what to call.
            joined: whether it neither needs the one before nor is needed by it, so that both can
                be done at once.
        """
        if not joined:
            self._entries.append([])
        self._entries[-1].append(_ready(call))
        self._records = None
        self.work += call.items * call.cost if joined else call.work
        return self._entries[-1][-1].pointers

    def times(self, repeats: int) -> list[tuple[str, float]]:
        """The name of each call's function and the least seconds that it took by itself."""
        self()
        pool, found = threads.current(self._size), []
        for number, (call, _, _) in enumerate(self._ready):
            place = self._address + number * self._records.itemsize * runtime.RECORD
            least = float("inf")
            for _ in range(repeats):
                begin = time.perf_counter()
                pool.run(place, 1, call.work > _WORTH_WAKING)
                least = min(least, time.perf_counter() - begin)
            found.append((str(call.function.key[0]), least))
        return found

    def __call__(self) -> None:
        """Runs the calls."""
        size = threads.count()
        if self._records is None or self._size != size:
            self._size = size
            self._ready = [_joined(members) for members in self._entries]
            self._records = threads.tape_of([one.call.record(*one.words) for one in self._ready])
            self._address = int(self._records.ctypes.data)
        threads.current(size).run(self._address, len(self._records), self.work > _WORTH_WAKING)


# Nanoseconds of work that other threads can help with, from which on they are woken.
_WORTH_WAKING = 30_000.0

Prepare = Callable[..., Prepared | None]
