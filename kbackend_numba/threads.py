"""The threads that compiled kernels run on, and the one place that hands them work.

Between programs the threads wait in Python for a lock, which costs nothing. While a program runs
they wait in compiled code by spinning, because there the next kernel is microseconds away. At its
beginning a program wakes them, but doesn't wait: they find what it has not yet done itself.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from typing import Any

import numpy as np

from kbackend.base.threads import num_threads
from kbackend_numba.codegen import runtime
from kbackend_numba.codegen.compile import load
from kbackend_numba.codegen.target import host


def count() -> int:
    """Threads that work at a time; see `kbackend.config.num_threads`."""
    return num_threads()


# Seconds that a thread spins after the last kernel before it goes to sleep: some times what Python
# does between two steps of a training.
_SPINNING = 300e-6


class _Runtime:
    """The compiled functions; see `codegen.runtime`."""

    def __init__(self) -> None:
        key = ("runtime", runtime.RECORD)
        run, serve = load(key, lambda name: runtime.write(name, host()), ("_run", "_serve"))
        i64, pointer = ctypes.c_int64, ctypes.c_void_p
        self.run = ctypes.CFUNCTYPE(None, pointer, pointer, i64, i64)(run)
        self.serve = ctypes.CFUNCTYPE(None, pointer, i64, i64)(serve)
        self.turns = self._turns_of(_SPINNING)

    def _turns_of(self, seconds: float) -> int:
        """Turns of `serve` that take some time: processors pause for 10 to 140 cycles a turn."""
        nothing, turns, least = np.zeros(runtime.FIRST_QUEUE + 2 * runtime.LINE, np.int64), 500, 1.0
        nothing[runtime.THREADS] = 1
        for _ in range(3):
            begin = time.perf_counter()
            self.serve(int(nothing.ctypes.data), 0, turns)
            least = min(least, time.perf_counter() - begin)
        return max(turns, round(turns * seconds / max(least, 1e-9)))


def _core_offer() -> int:
    """The address of the system's call that offers the core to others, or 0."""
    try:
        call = ctypes.CDLL(None).sched_yield
    except (OSError, AttributeError, TypeError):
        return 0
    return ctypes.cast(call, ctypes.c_void_p).value or 0


class Pool:
    """Threads, numbered from 0: the caller's.

    Args:
        size: how many.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.process = os.getpid()
        self._runtime = _the_runtime()
        words = runtime.FIRST_QUEUE + runtime.LINE * (size + 1)
        raw = np.zeros(words + runtime.LINE, np.int64)
        start = -(raw.ctypes.data // 8) % runtime.LINE
        self._shared = raw[start : start + words]
        self._shared[runtime.THREADS] = size
        self._shared[runtime.YIELD] = _core_offer()
        self._address = int(self._shared.ctypes.data)
        self._busy = threading.Lock()
        self._closed = self._running = False
        self._asleep = [False] * size
        self._wake = [threading.Lock() for _ in range(size)]
        for worker in range(1, size):
            self._wake[worker].acquire()
            name = f"kbackend-numba-{worker}"
            threading.Thread(target=self._serve, args=(worker,), name=name, daemon=True).start()

    def _serve(self, worker: int) -> None:
        wake, serve = self._wake[worker], self._runtime.serve
        while True:
            # In this order, so that `close` either finds it asleep or is found.
            self._asleep[worker] = True
            if self._closed:
                return
            if self._running:
                # The tape began while this thread waited for the interpreter, and didn't wake it.
                self._asleep[worker] = False
            else:
                wake.acquire()
            serve(self._address, worker, self._runtime.turns)

    def run(self, tape: int, records: int, parallel: bool) -> None:
        """Runs a tape.

        Args:
            tape: address of its records.
            records: how many there are.
            parallel: whether it is worth waking other threads.
        """
        # Only one tape has the threads. Another caller's that comes meanwhile runs on its own.
        if parallel and self.size > 1 and self._busy.acquire(blocking=False):
            try:
                self._running = True
                self._wake_all()
                self._runtime.run(self._address, tape, records, self.size)
            finally:
                self._running = False
                self._busy.release()
        else:
            self._runtime.run(self._address, tape, records, 1)

    def close(self) -> None:
        """Lets the threads end."""
        self._closed = True
        self._wake_all()

    def _wake_all(self) -> None:
        for worker in range(1, self.size):
            if self._asleep[worker]:
                self._asleep[worker] = False
                # It may have been woken already, and not have noticed yet.
                if self._wake[worker].locked():
                    self._wake[worker].release()


_pools: list[Pool] = []
_runtimes: list[_Runtime] = []
_lock = threading.Lock()


def _the_runtime() -> _Runtime:
    if not _runtimes:
        _runtimes.append(_Runtime())
    return _runtimes[0]


def current(size: int) -> Pool:
    """The pool of this process, with `size` threads."""
    found = _pools[0] if _pools else None
    if found is None or found.size != size or found.process != os.getpid():
        with _lock:
            # A forked child has none of its parent's threads.
            if _pools and _pools[0].process == os.getpid() and _pools[0].size != size:
                _pools[0].close()
            found = Pool(size)
            _pools[:] = [found]
    return found


def tape_of(records: list[list[int]]) -> Any:
    """Records as the runtime reads them."""
    tape = np.zeros((len(records), runtime.RECORD), np.int64)
    for row, record in zip(tape, records, strict=True):
        row[: len(record)] = record
    return tape
