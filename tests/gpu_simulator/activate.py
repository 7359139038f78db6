"""Puts the simulated GPU under CuPy in this process; before CuPy is imported, for good."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.gpu_simulator import cuda_on_cpu
from tests.gpu_simulator.build import DEVICE, LIBRARIES, RUNTIME, build

# As in device_work.h.
COUNTS = ("launches", "to_device", "to_host", "on_device", "syncs", "allocations", "graphs")


class Counts(NamedTuple):
    """What was done on the device.

    Attributes:
        launches: kernels, and calls of libraries.
        to_device: copies from the host.
        to_host: copies to the host.
        on_device: copies within the device.
        syncs: how often the host waited.
        allocations: of device memory, from the driver.
        graphs: graphs that were launched.
    """

    launches: int
    to_device: int
    to_host: int
    on_device: int
    syncs: int
    allocations: int
    graphs: int


class Simulator:
    """The simulated GPU of this process."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.gpu_simulator_kernels.restype = ctypes.c_char_p

    def counts(self) -> Counts:
        """What was done since the process began."""
        found = (ctypes.c_ulong * (len(COUNTS) + 2))()
        self._library.gpu_simulator_counts(found)
        return Counts(*found[: len(COUNTS)])

    @contextlib.contextmanager
    def counted(self) -> Iterator[list[Counts]]:
        """Counts what is done inside; the list has the result afterwards."""
        found: list[Counts] = []
        before = self.counts()
        yield found
        found.append(Counts(*[b - a for a, b in zip(before, self.counts(), strict=True)]))

    def kernels(self) -> dict[str, int]:
        """How often each kernel was launched since the last call."""
        lines = self._library.gpu_simulator_kernels().decode().splitlines()
        return {name: int(count) for name, count in (line.split() for line in lines)}

    @contextlib.contextmanager
    def lazy(self) -> Iterator[None]:
        """Streams do their work as late as they may."""
        self._library.gpu_simulator_lazy(1)
        try:
            yield
        finally:
            self._library.gpu_simulator_lazy(0)

    @contextlib.contextmanager
    def memory(self, size: int) -> Iterator[None]:
        """The device has that many bytes."""
        self._library.gpu_simulator_memory(ctypes.c_size_t(size))
        try:
            yield
        finally:
            self._library.gpu_simulator_memory(ctypes.c_size_t(16 << 30))


class _Finder:
    def __init__(self, path: str) -> None:
        self._path = path

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != RUNTIME:
            return None
        loader = importlib.machinery.ExtensionFileLoader(name, self._path)
        return importlib.util.spec_from_file_location(name, self._path, loader=loader)


class _Programs:
    """NVRTC as CuPy sees it: what it compiles for the device, g++ compiles for the host as well."""

    def __init__(self, nvrtc: Any) -> None:
        self._real = {
            name: getattr(nvrtc, name)
            for name in ("createProgram", "addNameExpression", "compileProgram", "getCUBIN")
        }
        self._lowered = nvrtc.getLoweredName
        self._texts: dict[int, str] = {}
        self._names: dict[int, list[str]] = {}
        self._options: dict[int, tuple[str, ...]] = {}
        for name in self._real:
            setattr(nvrtc, name, getattr(self, name))

    def createProgram(self, text: Any, *args: Any) -> Any:  # noqa: N802
        program = self._real["createProgram"](text, *args)
        self._texts[program] = text if isinstance(text, str) else text.decode()
        self._names[program] = []
        return program

    def addNameExpression(self, program: Any, name: str) -> None:  # noqa: N802
        self._real["addNameExpression"](program, name)
        self._names[program].append(name)

    def compileProgram(self, program: Any, options: Any) -> None:  # noqa: N802
        self._real["compileProgram"](program, options)
        self._options[program] = tuple(options)

    def getCUBIN(self, program: Any) -> bytes:  # noqa: N802
        self._real["getCUBIN"](program)
        names = {self._lowered(program, name): name for name in self._names[program]}
        path = cuda_on_cpu.build(self._texts[program], self._options[program], names or None)
        return b"ON_CPU:" + str(path).encode() + b"\0"


_active: Simulator | None = None


def activate() -> Simulator:
    """The simulated GPU, put under CuPy at the first call.

    Raises:
        Unavailable: it can't be built here.
        RuntimeError: CuPy was imported before.
    """
    global _active
    if _active is not None:
        return _active
    if "cupy" in sys.modules:
        raise RuntimeError("CuPy was imported before the simulated GPU was put under it.")
    folder = build()
    # CuPy's own libraries find these by their names, because they are loaded already.
    library = ctypes.CDLL(str(folder / DEVICE))
    for name in LIBRARIES[1:]:
        ctypes.CDLL(str(folder / name))
    sys.meta_path.insert(0, _Finder(str(folder / "runtime.so")))
    # CUB's device code can't be run; kernels are kept beside the simulator that they are for.
    os.environ["CUPY_ACCELERATORS"] = ""
    os.environ["CUPY_CACHE_DIR"] = str(folder / "cupy")
    os.environ["KBACKEND_CACHE_DIR"] = str(folder / "kbackend")
    from cupy.cuda import nvrtc

    _Programs(nvrtc)
    _active = Simulator(library)
    return _active
