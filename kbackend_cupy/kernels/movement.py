"""Movement and creation: one transfer for all start positions, and dtypes that CuPy can hold."""

from __future__ import annotations

from typing import Any

from kbackend.engine.array_module import movement
from kbackend.engine.interface import Kernel
from kbackend_cupy.dtypes import require

Ints = tuple[int, ...]


def kernels(cp: Any) -> dict[str, Kernel]:
    """The kernels of this family on `cupy`."""
    shared = {name: kernel.fn for name, kernel in movement.kernels(cp).items()}

    def dynamic_slice(x: Any, starts: Any, *, sizes: Ints) -> Any:
        return shared["dynamic_slice"](x, starts.tolist(), sizes=sizes)

    def dynamic_update_slice(x: Any, update: Any, starts: Any) -> Any:
        return shared["dynamic_update_slice"](x, update, starts.tolist())

    def full(*, shape: Ints, value: Any, dtype: str) -> Any:
        return shared["full"](shape=shape, value=value, dtype=require(dtype))

    def iota(*, shape: Ints, axis: int, dtype: str) -> Any:
        return shared["iota"](shape=shape, axis=axis, dtype=require(dtype))

    return {
        "dynamic_slice": Kernel(dynamic_slice),
        "dynamic_update_slice": Kernel(dynamic_update_slice),
        "full": Kernel(full),
        "iota": Kernel(iota),
    }
