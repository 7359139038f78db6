"""cuDNN and its frontend, if they are installed: loaded, with a handle for each device."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_log = logging.getLogger("kbackend.cupy")

# The oldest cuDNN with the graphs that are used here.
_OLDEST = 90000


def load() -> Any:
    """The module `cudnn`, or `None` if it or the library is missing or too old."""
    if importlib.util.find_spec("cudnn") is None:
        return None
    try:
        preload()
        fe = importlib.import_module("cudnn")
        version = fe.backend_version()
    # Libraries fail to load with errors of many kinds; without cuDNN there are kernels of ours.
    except Exception as error:
        _log.info("cuDNN can't be used: %s", error)
        return None
    if version < _OLDEST:
        _log.info("cuDNN is too old: %s; %s or newer is needed.", version, _OLDEST)
        return None
    return fe


def preload() -> None:
    """Loads the library of NVIDIA's package, wherever that is; then it is known by its name."""
    if sys.platform == "win32" or importlib.util.find_spec("nvidia") is None:
        return
    found = importlib.util.find_spec("nvidia.cudnn")
    for place in [] if found is None else found.submodule_search_locations or []:
        path = Path(place) / "lib" / "libcudnn.so.9"
        if path.exists():
            with suppress(OSError):
                ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            return


class Handles:
    """cuDNN's handles, one for each device, which work on the current stream.

    Args:
        cp: the module `cupy`.
        fe: the module `cudnn`.
    """

    def __init__(self, cp: Any, fe: Any) -> None:
        self._cp, self._fe = cp, fe
        self._handles: dict[int, int] = {}
        # Device -> the stream that its handle uses.
        self._streams: dict[int, int] = {}

    def current(self) -> int:
        """The handle of the current device."""
        device = self._cp.cuda.runtime.getDevice()
        handle = self._handles.get(device)
        if handle is None:
            handle = self._handles[device] = self._fe.create_handle()
        self.follow(device)
        return handle

    def follow(self, device: int) -> int:
        """Lets a device's handle work on the current stream; the handle."""
        handle = self._handles[device]
        stream = self._cp.cuda.get_current_stream().ptr
        if self._streams.get(device) != stream:
            self._fe.set_stream(handle, stream)
            self._streams[device] = stream
        return handle
