"""Compiled CUDA texts: on the device, and on disk for the next process."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import Any

from kbackend.engine.disk_cache import DiskCache

kernels = DiskCache("cupy")

_OPTIONS = ("--std=c++17", "--device-as-default-execution-space")
_HALF = "cuda_fp16.h"


class Modules:
    """The kernels of texts, each compiled when it is first wanted.

    Args:
        cp: the module `cupy`.
    """

    def __init__(self, cp: Any) -> None:
        self._cp = cp
        self._functions: dict[tuple[int, str], Any] = {}
        self._held: list[Any] = []

    def function(self, text: str, name: str) -> Any:
        """A kernel, ready to be launched on the current device.

        Args:
            text: CUDA C++.
            name: of the kernel; no other text has one of this name.
        """
        key = (self._cp.cuda.runtime.getDevice(), name)
        found = self._functions.get(key)
        if found is None:
            module = self._cp.cuda.Module()
            module.load(self._code(text))
            # A function doesn't keep its module alive.
            self._held.append(module)
            found = self._functions[key] = module.get_function(name)
        return found

    def _code(self, text: str) -> bytes:
        """The machine code of a text for the current device."""
        cp = self._cp
        device, version = cp.cuda.Device().compute_capability, cp.cuda.nvrtc.getVersion()
        words = repr((device, version, _OPTIONS)) + text
        key = hashlib.sha256(words.encode()).hexdigest()
        code = kernels.read(key)
        if code is None:
            options = _OPTIONS + (self._headers() if _HALF in text else ())
            code, _ = cp.cuda.compiler.compile_using_nvrtc(
                text, options=options, cache_in_memory=True
            )
            kernels.write(key, code)
        return code

    def _headers(self) -> tuple[str, ...]:
        """Options that find CUDA's headers: of an installed toolkit, or of NVIDIA's packages."""
        roots = []
        path = self._cp.cuda.get_cuda_path()
        if path:
            roots.append(Path(path))
        nvidia = importlib.util.find_spec("nvidia")
        for place in [] if nvidia is None else nvidia.submodule_search_locations or []:
            roots += [Path(place) / "cu13", Path(place) / "cuda_runtime"]
        found = [root / "include" for root in roots if (root / "include" / _HALF).exists()]
        return tuple(f"-I{os.fspath(folder)}" for folder in found[:1])
