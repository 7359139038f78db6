"""Memory of the host that a device reads and writes by itself, and events that say when it has."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np


@functools.cache
def _kind(cp: Any) -> Any:
    """A class of our own, by which arrays of ours are known among those of others."""
    return type("Pinned", (cp.cuda.PinnedMemoryPointer,), {})


def pinned(cp: Any, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """An array in pinned memory, which goes back to CuPy's pool with the array.

    Whoever has a copy from or to it under way must keep it until that is done.

    Args:
        cp: the module `cupy`.
        shape: its shape.
        dtype: NumPy's dtype of its elements.
    """
    size = dtype.itemsize
    for n in shape:
        size *= n
    memory = cp.cuda.alloc_pinned_memory(size)
    return np.ndarray(shape, dtype, buffer=_kind(cp)(memory.mem, 0))


def is_pinned(cp: Any, array: np.ndarray[Any, Any]) -> bool:
    """Whether an array is one of `pinned`, as a whole."""
    return isinstance(array.base, _kind(cp))


def address(array: np.ndarray[Any, Any]) -> int:
    """Where an array of `pinned` lies."""
    memory: Any = array.base
    return int(memory.ptr)


class Events:
    """Events that are used again: making one takes longer than recording it.

    Args:
        cp: the module `cupy`.
    """

    def __init__(self, cp: Any) -> None:
        self._cp = cp
        # By device. Appending and popping are safe among threads.
        self._free: dict[int, list[Any]] = {}

    def recorded(self, stream: Any, device: int) -> Any:
        """An event that is done as soon as the work so far of a stream is.

        Args:
            stream: which stream.
            device: the stream's device.
        """
        cuda = self._cp.cuda
        if cuda.runtime.getDevice() != device:
            with cuda.Device(device):
                return self.recorded(stream, device)
        free = self._free.setdefault(device, [])
        try:
            event = free.pop()
        except IndexError:
            event = cuda.Event(disable_timing=True)
        event.record(stream)
        return event

    def give_back(self, event: Any, device: int) -> None:
        """Takes an event that will not be asked any more.

        Args:
            event: one of `recorded`.
            device: whose event it is.
        """
        self._free.setdefault(device, []).append(event)
