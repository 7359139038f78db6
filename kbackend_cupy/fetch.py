"""Arrays on their way from a device to the host."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from kbackend_cupy.pinned import Events, address, pinned


class Fetch:
    """A copy to the host that the current stream makes behind its work so far.

    Calling it waits for that copy, and for nothing that the stream is given later.

    Args:
        cp: the module `cupy`.
        events: where events come from.
        array: contiguous, not empty, on the current device.
    """

    _event: Any = None
    _result: np.ndarray[Any, Any]

    def __init__(self, cp: Any, events: Events, array: Any) -> None:
        self._events, self._device = events, array.data.device_id
        # CuPy hands out freed memory in the order of the stream, but the array may be another's.
        self._array = array
        self._landing = pinned(cp, array.shape, array.dtype)
        array.data.copy_to_host_async(address(self._landing), array.nbytes)
        self._event = events.recorded(cp.cuda.get_current_stream(), self._device)

    def __call__(self) -> np.ndarray[Any, Any]:
        """The values, in memory of their own."""
        if self._event is not None:
            self._wait()
            # Pinned memory is dear, and the next copy can have it.
            self._result = self._landing.copy()
            del self._landing, self._array
        return self._result

    def _wait(self) -> None:
        event, self._event = self._event, None
        event.synchronize()
        self._events.give_back(event, self._device)

    def __del__(self) -> None:
        # The pool hands on the memory as soon as this is gone; the copy must be done by then.
        if self._event is not None:
            with contextlib.suppress(Exception):  # The interpreter may be ending.
                self._wait()
