"""The engine class: arrays are `cupy.ndarray`, on the current CUDA device."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import numpy as np

from kbackend.base import config, dtypes
from kbackend.base.errors import EngineError
from kbackend.engine.interface import Engine, Probe
from kbackend.engine.memory import MemoryInfo
from kbackend.engine.program import REDUCTIONS, Prepared, Program, Runner, Spec
from kbackend_cupy.codegen import operations
from kbackend_cupy.dtypes import SUPPORTED, require
from kbackend_cupy.eager import composites
from kbackend_cupy.fetch import Fetch
from kbackend_cupy.memory import allocated, full, info, obey_limit, watched
from kbackend_cupy.pinned import Events, pinned
from kbackend_cupy.prepare import Preparer
from kbackend_cupy.probe import import_cupy, probe
from kbackend_cupy.replay import Replay
from kbackend_cupy.table import table
from kbackend_cupy.uploads import Uploads

_DEVICE = re.compile(r"(?:gpu|cuda)(?::(\d+))?")
# The kind of device in DLPack.
_DLPACK_CUDA = 2


def _transferable(array: np.ndarray[Any, Any]) -> bool:
    """Whether the bytes of an array on the host are those of one on the device."""
    return array.dtype.isnative and dtypes.DTYPE_NAMES.get(array.dtype) in SUPPORTED


class CupyEngine(Engine):
    """Computes with CuPy on an NVIDIA GPU.

    Raises:
        ImportError: on construction, if CuPy is missing or broken; `probe` tells which, and the
            mend.
    """

    name = "cupy"
    capabilities: ClassVar[frozenset[str]] = frozenset({"gpu", "upload"})
    views = frozenset(("reshape", "transpose", "broadcast_to", "slice", "rev"))
    fusible = operations.NAMES | REDUCTIONS
    # A launch costs more than what gradients that wait for it take of a device's memory.
    gathers = 256 << 20
    # Then more steps can share a launch.
    rests = 3

    def __init__(self) -> None:
        cp, cpx = import_cupy()
        self._cp = cp
        kernels = {name: watched(cp, name, one) for name, one in table(cp, cpx).items()}
        self._preparer = Preparer(cp)
        super().__init__(kernels, composites(cp, self._preparer))
        self._events = Events(cp)
        # By device.
        self._uploads: dict[int, Uploads] = {}
        self._lock = threading.Lock()
        # Devices in use, by number.
        self._devices = {cp.cuda.runtime.getDevice()}
        self._obey_limit(*self._devices)

    @classmethod
    def probe(cls) -> Probe:
        """Whether CuPy, a driver and a device are here and fit together."""
        return probe()

    def asarray(self, value: Any, dtype: str | None = None, copy: bool = True) -> Any:
        """`value` as an array on the device; see `Engine.asarray`. Host data is always copied.

        What other libraries have on the device (`__cuda_array_interface__`, DLPack) stays there.
        """
        cp = self._cp
        wanted = None if dtype is None else dtypes.numpy_dtype(require(dtype))
        if not self.owns(value):
            value = self._on_device(value, wanted)
        if dtypes.DTYPE_NAMES.get(value.dtype) not in SUPPORTED:
            raise TypeError(
                f"Can't make a tensor of values with the dtype {value.dtype} on the engine 'cupy'. "
                f"Supported: {', '.join(d for d in dtypes.NUMPY_DTYPES if d in SUPPORTED)}."
            )
        if not self.owns(value) and not value.ndim and not value and any(value.tobytes()):
            # CuPy fills what has no dimensions, with bits of zeros where a value equals zero.
            return cp.array(value.reshape(1), dtype=wanted).reshape(())
        try:
            return allocated(cp, cp.array, value, dtype=wanted, copy=copy)
        except cp.cuda.memory.OutOfMemoryError as error:
            kind = value.dtype if wanted is None else wanted
            raise full(cp, "asarray", value.shape, kind) from error

    def _on_device(self, value: Any, dtype: Any) -> Any:
        """Another library's array as CuPy's, if it lies on a device, else as NumPy's."""
        if hasattr(value, "__cuda_array_interface__"):
            return self._cp.asarray(value)
        if hasattr(value, "__dlpack_device__") and value.__dlpack_device__()[0] == _DLPACK_CUDA:
            return self._cp.from_dlpack(value)
        # What is beyond a dtype's range becomes infinite, as in kernels.
        with np.errstate(over="ignore"):
            return np.asarray(value, dtype=dtype)

    def upload(self, value: np.ndarray[Any, Any], copy: bool = True) -> Any:
        """A copy on the device, made beside its other work; see `Engine.upload`."""
        if not value.ndim or not value.size or not _transferable(value):
            return super().upload(value, copy)
        device = self._cp.cuda.runtime.getDevice()
        uploads = self._uploads.get(device)
        if uploads is None:
            with self._lock:
                uploads = self._uploads.get(device) or Uploads(self._cp, self._events, device)
                self._uploads[device] = uploads
        return uploads(value)

    def take_rows(
        self, array: np.ndarray[Any, Any], indices: np.ndarray[Any, Any]
    ) -> np.ndarray[Any, Any]:
        """Rows in pinned memory; see `Engine.take_rows`."""
        if not len(indices) or not array.size or not _transferable(array):
            return super().take_rows(array, indices)
        rows = pinned(self._cp, (len(indices), *array.shape[1:]), array.dtype)
        # Where an index out of bounds is an error, NumPy computes in memory of its own first.
        array.take(indices, axis=0, out=rows, mode="clip")
        return rows

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        """A host copy; waits for the device. See `Engine.to_numpy`."""
        copied: np.ndarray[Any, Any] = self._cp.asnumpy(array)
        return copied

    def fetch(self, array: Any) -> Callable[[], np.ndarray[Any, Any]]:
        """Starts a copy to pinned memory, behind the work so far; see `Engine.fetch`."""
        if not array.size or array.data.device_id != self._cp.cuda.runtime.getDevice():
            return super().fetch(array)
        return Fetch(self._cp, self._events, self.contiguous(array))

    def dtype_of(self, array: Any) -> str:
        """Name of the array's dtype."""
        return dtypes.DTYPE_NAMES[array.dtype]

    def owns(self, value: Any) -> bool:
        """Whether `value` is a CuPy array."""
        return isinstance(value, self._cp.ndarray)

    def contiguous(self, array: Any) -> Any:
        """The array with its elements in row-major order."""
        return self._cp.ascontiguousarray(array).reshape(array.shape)

    def copy(self, array: Any) -> Any:
        """A contiguous copy."""
        return array.copy(order="C")

    def overwrite(self, array: Any, value: Any) -> bool:
        """Writes elements into an array, whose address recorded graphs know."""
        self._cp.copyto(array, value)
        return True

    def prepare(
        self,
        name: str,
        inputs: tuple[Spec, ...],
        outputs: tuple[Spec, ...],
        params: Mapping[str, Any],
    ) -> Prepared | None:
        """The kernel of a step for given shapes; see `Engine.prepare`."""
        return self._preparer(name, inputs, outputs, params)

    def compile(self, program: Program) -> Runner:
        """The program as calls bound to planned memory, or as a CUDA graph."""
        return Replay(self._cp, self, self._preparer.modules, program)

    def device_scope(self, name: str) -> AbstractContextManager[Any]:
        """A context in which arrays are made on a device such as "gpu:1"; "gpu" is the first.

        Raises:
            EngineError: the name is no GPU's, or there are fewer of them.
        """
        found = _DEVICE.fullmatch(name.lower())
        count = self._cp.cuda.runtime.getDeviceCount()
        number = int(found[1] or 0) if found else count
        if number >= count:
            known = ", ".join(f"'gpu:{i}'" for i in range(count))
            raise EngineError(
                f"The engine '{self.name}' has the devices {known}. Received: {name!r}."
            )
        scope: AbstractContextManager[Any] = self._cp.cuda.Device(number)
        if number not in self._devices:
            self._devices.add(number)
            self._obey_limit(number)
        return scope

    def memory_info(self) -> MemoryInfo:
        """The current device's memory, and what CuPy's pool has of it."""
        return info(self._cp)

    def limit_memory(self) -> None:
        """Limits CuPy's pools of all devices that are in use."""
        for number in self._devices:
            with self._cp.cuda.Device(number):
                obey_limit(self._cp)

    def _obey_limit(self, number: int) -> None:
        """Limits the pool of a device that comes into use, unless CuPy's own limit shall hold."""
        if config.memory_limit() != 1.0:
            with self._cp.cuda.Device(number):
                obey_limit(self._cp)

    def free_memory(self) -> None:
        """Empties CuPy's pools, and drops memory that is kept for batches."""
        cp = self._cp
        for uploads in self._uploads.values():
            uploads.clear()
        for number in self._devices:
            with cp.cuda.Device(number):
                cp.get_default_memory_pool().free_all_blocks()
        cp.get_default_pinned_memory_pool().free_all_blocks()

    def synchronize(self) -> None:
        """Waits until the current device has done all its work."""
        self._cp.cuda.Device().synchronize()
