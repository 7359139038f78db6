"""One owner of the cores: a pool of threads for large kernels, with BLAS on one thread beside it.

NumPy lets go of the interpreter's lock while it computes, so threads that each work on a part of a
large array run side by side. BLAS has threads of its own, which wait by spinning: beside another
pool both lose. So inside `owned()` BLAS computes on the calling thread alone, and the pool splits
the work; outside of it NumPy stays as the user has set it up, or has as many threads as kbackend if
the user asked that for fewer.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from typing import Any

import numpy as np

from kbackend.base.config import DEFAULT, Setting
from kbackend.base.threads import follow, num_threads

# Waking another thread and waiting for it costs 20 to 80 microseconds. Work that takes less than
# this many nanoseconds on one thread is not split.
WORTH_SPLITTING = 300_000


def count() -> int:
    """Threads that work at a time: as many as the settings allow.

    Without a way to keep BLAS on one thread it is 1: two pools on the same cores are worse than
    one.
    """
    return num_threads() if _blas() is not None else 1


class _Blas:
    """The thread count of the OpenBLAS that NumPy brings along."""

    def __init__(self, library: ctypes.CDLL, prefix: str) -> None:
        self.set = getattr(library, f"{prefix}openblas_set_num_threads64_")
        self.get = getattr(library, f"{prefix}openblas_get_num_threads64_")


@cache
def _blas() -> _Blas | None:
    """NumPy's own BLAS, or `None` where it is another than the OpenBLAS of the wheels."""
    folder = pathlib.Path(np.__file__).parent
    for place in (folder.parent / "numpy.libs", folder / ".dylibs"):
        for path in sorted(place.glob("*openblas64_*")):
            try:
                return _Blas(ctypes.CDLL(str(path)), "scipy_")
            except (OSError, AttributeError):
                continue
    return None


_lock = threading.Lock()
_owners = 0
_outside = 1
# What BLAS had before somebody asked kbackend for fewer threads.
_unlimited: int | None = None


def _limit_blas(setting: Setting) -> None:
    """Lets BLAS have no more threads than somebody asked for; as before if nobody did."""
    global _outside, _unlimited
    if _unlimited is None and setting.source == DEFAULT:
        return
    blas = _blas()
    if blas is None:
        return
    with _lock:
        now = _outside if _owners else blas.get()
        _unlimited = _unlimited or now
        most = _unlimited if setting.source == DEFAULT else min(_unlimited, setting.value)
        if _owners:
            _outside = most
        elif most != now:
            blas.set(most)


follow(_limit_blas)


def active() -> bool:
    """Whether work should be split here: the cores are taken, and there are several.

    Not within what has been split already: there is nobody to take a share.
    """
    return _owners > 0 and not _here.splits and count() > 1


@contextmanager
def owned() -> Iterator[None]:
    """Keeps BLAS on the calling thread inside; may be nested and entered by several threads."""
    enter()
    try:
        yield
    finally:
        leave()


def enter() -> None:
    """Takes the cores; see `owned`."""
    global _owners, _outside
    blas = _blas()
    if blas is None:
        return
    with _lock:
        _owners += 1
        if _owners == 1:
            _outside = blas.get()
            if _outside != 1:
                blas.set(1)


def leave() -> None:
    """Gives the cores back; see `owned`."""
    global _owners
    blas = _blas()
    if blas is None:
        return
    with _lock:
        _owners -= 1
        if _owners == 0 and _outside != 1:
            blas.set(_outside)


# For kernels that make many short calls. Two of them side by side would have to wait for the
# interpreter's lock at each call, and to be woken, which takes longer than the call itself.
many_calls = threading.Lock()


class _Here(threading.local):
    """What the calling thread is about."""

    # Whether it does a part of something that is split.
    splits = False


_here = _Here()


class _Job:
    """Parts of one kernel, handed out one by one to whichever thread is free."""

    __slots__ = ("done", "failure", "left", "lock", "next", "part", "parts")

    def __init__(self, part: Callable[[int, int], None], parts: int) -> None:
        self.part, self.parts = part, parts
        self.next = 0
        self.left = parts
        self.lock = threading.Lock()
        self.done = threading.Lock()
        self.done.acquire()
        self.failure: BaseException | None = None

    def work(self, worker: int) -> None:
        """Runs parts until there are no more."""
        _here.splits = True
        try:
            while self._work_one(worker):
                pass
        finally:
            _here.splits = False

    def _work_one(self, worker: int) -> bool:
        """Runs a part, if there is one left."""
        with self.lock:
            index = self.next
            if index >= self.parts:
                return False
            self.next = index + 1
        try:
            if self.failure is None:
                self.part(index, worker)
        except BaseException as error:
            self.failure = error
        with self.lock:
            self.left -= 1
            if not self.left:
                self.done.release()
        return True


class _Pool:
    """Threads that wait for jobs. They are daemons: nothing is lost when the process ends."""

    def __init__(self, size: int) -> None:
        self.process = os.getpid()
        self.size = size
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self.busy = threading.Lock()
        for worker in range(1, size):
            threading.Thread(
                target=self._serve, args=(worker,), name=f"kbackend-{worker}", daemon=True
            ).start()

    def _serve(self, worker: int) -> None:
        # Floating point warnings are a setting of each thread: infinities and NaN are values here.
        with np.errstate(all="ignore"):
            while (job := self.jobs.get()) is not None:
                job.work(worker)

    def close(self) -> None:
        """Lets the threads end."""
        for _ in range(self.size - 1):
            self.jobs.put(None)


_pool: _Pool | None = None


def _current_pool() -> _Pool:
    global _pool
    with _lock:
        # A forked child has none of its parent's threads.
        if _pool is None or _pool.process != os.getpid() or _pool.size != count():
            if _pool is not None:
                _pool.close()
            _pool = _Pool(count())
        return _pool


def split(part: Callable[[int, int], Any], parts: int) -> None:
    """Calls `part(index, worker)` for each index below `parts`, on several threads at a time.

    Args:
        part: does a part of the work; `worker` is below `count()` and belongs to one thread for as
            long as the part runs, so that it can number scratch memory.
        parts: how many there are.

    Raises:
        BaseException: what a part raised.
    """
    if parts > 1 and not _here.splits and count() > 1:
        pool = _current_pool()
        # One job at a time, so that worker numbers are never used twice. Another thread's kernel
        # that comes meanwhile runs on that thread alone.
        if pool.busy.acquire(blocking=False):
            try:
                job = _Job(part, parts)
                for _ in range(min(count(), parts) - 1):
                    pool.jobs.put(job)
                job.work(0)
                job.done.acquire()
            finally:
                pool.busy.release()
            if job.failure is not None:
                raise job.failure
            return
    for index in range(parts):
        part(index, 0)


def ranges(total: int, parts: int) -> list[tuple[int, int]]:
    """`total` items as at most `parts` ranges `(start, stop)` of nearly equal length."""
    parts = max(1, min(parts, total))
    return [(total * i // parts, total * (i + 1) // parts) for i in range(parts)]
