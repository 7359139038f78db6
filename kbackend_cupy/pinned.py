"""Memory of the host that a device reads and writes by itself, and events that say when it has."""

from __future__ import annotations

from typing import Any

import numpy as np


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
    return np.ndarray(shape, dtype, buffer=cp.cuda.alloc_pinned_memory(size))


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

    def recorded(self, stream: Any) -> Any:
        """An event that is done as soon as the work so far of a stream of the current device is."""
        free = self._free.setdefault(self._cp.cuda.runtime.getDevice(), [])
        try:
            event = free.pop()
        except IndexError:
            event = self._cp.cuda.Event(disable_timing=True)
        event.record(stream)
        return event

    def give_back(self, event: Any, device: int) -> None:
        """Takes an event that nothing waits for any more.

        Args:
            event: one of `recorded`.
            device: whose event it is.
        """
        self._free.setdefault(device, []).append(event)
