"""Batches on their way to a device, on a stream of their own beside the one that computes."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import Any

import numpy as np

from kbackend_cupy.memory import allocated, full, keepers
from kbackend_cupy.pinned import Events, address, is_pinned, pinned

# Copies that may be under way, and their bytes, if there are more than two; then the host waits,
# and its pinned memory stops growing.
_UNDER_WAY, _BYTES = 8, 256 << 20
# Pieces of memory that take turns, for arrays of one shape and dtype. A batch comes while the step
# of the one before computes, and a model may have two inputs of one shape. They always take turns:
# where a graph finds a batch shall not depend on how quick the device is.
_TURNS = 3
# Pieces that are kept in all, as for the last batch of an epoch and those of a validation.
_KEPT = 16


class _Slot:
    """Memory of the device that one batch after another is copied to.

    Attributes:
        memory: where it is.
        kind: shape and dtype of what comes there.
        unused: an event: from then on nothing on the device uses it.
    """

    __slots__ = ("kind", "memory", "unused")

    def __init__(self, memory: Any, kind: Any, unused: Any) -> None:
        self.memory, self.kind, self.unused = memory, kind, unused


class _Lease:
    """Owns a slot's memory for as long as an array, or a view of it, is there."""

    __slots__ = ("_compute", "_slot", "_uploads")

    def __init__(self, uploads: Uploads, slot: _Slot, compute: Any) -> None:
        self._uploads, self._slot, self._compute = uploads, slot, compute

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # The interpreter may be ending.
            self._uploads.take_back(self._slot, self._compute)


class Uploads:
    """Copies arrays of the host to one device, while that computes what it was given before.

    The stream that computes waits for the copy alone. The copy waits until the device is done with
    what had the memory before: the third batch before this one, as a rule.

    Args:
        cp: the module `cupy`.
        events: where events come from.
        device: number of the device; it must be the current one.
    """

    def __init__(self, cp: Any, events: Events, device: int) -> None:
        self._cp, self._events, self._device = cp, events, device
        self._stream = cp.cuda.Stream(non_blocking=True)
        # `clear` may be called while memory for a copy is looked for.
        self._lock = threading.RLock()
        # Slots that are unused, or will be soon; those that come first have waited longest.
        self._free: list[_Slot] = []
        # What arrays have given back. They do so at any time, also while this thread has the lock.
        self._returned: deque[_Slot] = deque()
        # Copies, and the memory that they read.
        self._under_way: deque[tuple[Any, np.ndarray[Any, Any]]] = deque()
        self._bytes = 0
        keepers.add(self)

    def __call__(self, value: np.ndarray[Any, Any]) -> Any:
        """An array of the device with the elements of one of the host, which may change at once.

        Args:
            value: not empty, of a dtype that the device has.
        """
        cp = self._cp
        host = value
        if not is_pinned(cp, value):
            host = pinned(cp, value.shape, value.dtype)
            np.copyto(host, value)
        compute = cp.cuda.get_current_stream()
        with self._lock:
            slot = self._slot(host, compute)
            self._stream.wait_event(slot.unused)
            self._events.give_back(slot.unused, self._device)
            slot.memory.copy_from_host_async(address(host), host.nbytes, self._stream)
            done = self._events.recorded(self._stream, self._device)
            compute.wait_event(done)
            self._under_way.append((done, host))
            self._bytes += host.nbytes
            self._let_go()
        owner = _Lease(self, slot, compute)
        memory = cp.cuda.UnownedMemory(slot.memory.ptr, host.nbytes, owner, self._device)
        return cp.ndarray(host.shape, host.dtype, cp.cuda.MemoryPointer(memory, 0))

    def _slot(self, host: np.ndarray[Any, Any], compute: Any) -> _Slot:
        """Memory for a copy. The device may still use it, until its event."""
        while self._returned:
            self._free.append(self._returned.popleft())
        kind = host.shape, host.dtype
        same = [slot for slot in self._free if slot.kind == kind]
        if len(same) >= _TURNS:
            self._free.remove(same[0])
            return same[0]
        while len(self._free) >= _KEPT:
            self._drop(self._free.pop(0))
        # CuPy's pool gives what `compute` has done with, or will have at this point.
        memory = self._new(host)
        return _Slot(memory, kind, self._events.recorded(compute, self._device))

    def _new(self, host: np.ndarray[Any, Any]) -> Any:
        cp = self._cp
        try:
            return allocated(cp, cp.cuda.alloc, host.nbytes)
        except cp.cuda.memory.OutOfMemoryError as error:
            raise full(cp, "upload", host.shape, host.dtype) from error

    def _drop(self, slot: _Slot) -> None:
        """Gives memory back to CuPy's pool, which knows nothing of our stream."""
        slot.unused.synchronize()
        self._events.give_back(slot.unused, self._device)

    def _let_go(self) -> None:
        """Lets the memory go that copies have read."""
        while self._under_way:
            count, oldest = len(self._under_way), self._under_way[0][0]
            if not oldest.done:
                if count <= _UNDER_WAY and (count <= 2 or self._bytes <= _BYTES):
                    break
                oldest.synchronize()
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        done, host = self._under_way.popleft()
        self._bytes -= host.nbytes
        self._events.give_back(done, self._device)

    def take_back(self, slot: _Slot, compute: Any) -> None:
        """Takes memory that no array has any more; what `compute` was given may still use it."""
        slot.unused = self._events.recorded(compute, self._device)
        self._returned.append(slot)

    def clear(self) -> None:
        """Waits for all copies, and gives all memory that is kept back to CuPy's pools."""
        with self._lock:
            while self._under_way:
                self._under_way[0][0].synchronize()
                self._forget_oldest()
            self._free += self._returned
            self._returned.clear()
            while self._free:
                self._drop(self._free.pop())
