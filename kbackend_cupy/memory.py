"""Memory of a device: what there is, its limit, and errors that say what was too large."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kbackend.base import config
from kbackend.base.dtypes import itemsize
from kbackend.base.errors import EngineError
from kbackend.engine.interface import Kernel
from kbackend.engine.memory import MemoryInfo
from kbackend.engine.program import ARENA, Program

_SHOWN = 4
_MEND = "Use smaller batches, or drop tensors that are not needed any more"
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


# Those who keep memory for arrays to come, and give it back by `clear`.
keepers: weakref.WeakSet[Any] = weakref.WeakSet()


class DeviceMemoryError(EngineError, MemoryError):
    """A device has no room for an array."""


def text_of(size: float) -> str:
    """A number of bytes for people: "1.5 GiB"."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.0f} bytes"


def _arrays(found: Iterable[tuple[int, str, Sequence[int]]]) -> str:
    """The largest of some arrays: (bytes, dtype, shape)."""
    largest = sorted(found, reverse=True)[:_SHOWN]
    return ", ".join(f"{dtype}{tuple(shape)} of {text_of(size)}" for size, dtype, shape in largest)


def info(cp: Any) -> MemoryInfo:
    """The memory of the current device.

    Args:
        cp: the module `cupy`.
    """
    free, total = cp.cuda.runtime.memGetInfo()
    pool = cp.get_default_memory_pool()
    return MemoryInfo(total, free, pool.used_bytes(), pool.total_bytes(), pool.get_limit() or None)


def obey_limit(cp: Any) -> None:
    """Limits what the pool takes of the current device, as the settings say.

    Args:
        cp: the module `cupy`.
    """
    limit = config.memory_limit()
    pool = cp.get_default_memory_pool()
    if limit == 1.0:
        pool.set_limit(size=0)  # Of the pool's own limits this is none.
    elif isinstance(limit, float):
        pool.set_limit(fraction=limit)
    else:
        pool.set_limit(size=limit)


def _room(cp: Any) -> str:
    found = info(cp)
    text = (
        f"{text_of(found.free or 0)} of the device's {text_of(found.total or 0)} are free, and "
        f"arrays hold {text_of(found.used or 0)}"
    )
    if found.limit is None:
        return f"{text}. {_MEND}."
    return (
        f"{text} of the {text_of(found.limit)} that may be taken. {_MEND}, or raise the limit "
        "with `kbackend.config.set_memory_limit`."
    )


def allocated(cp: Any, make: Callable[..., Any], *args: Any, **params: Any) -> Any:
    """What a function returns that allocates; where the device is full, memory is given back first.

    Args:
        cp: the module `cupy`.
        make: the function, which may be called twice.
        *args: its arguments.
        **params: its arguments by keyword.
    """
    try:
        return make(*args, **params)
    except cp.cuda.memory.OutOfMemoryError:
        for keeper in list(keepers):
            keeper.clear()
        return make(*args, **params)


def full(cp: Any, name: str, shape: Sequence[int], dtype: Any) -> DeviceMemoryError:
    """The error of an array from the host that a device has no room for.

    Args:
        cp: the module `cupy`.
        name: what was done with it.
        shape: its shape.
        dtype: its dtype.
    """
    size = itemsize(str(dtype))
    for n in shape:
        size *= n
    return DeviceMemoryError(
        f"[{name}] The device has no room for the array. Received: "
        f"{_arrays([(size, str(dtype), shape)])}. {_room(cp)}"
    )


def watched(cp: Any, name: str, kernel: Kernel) -> Kernel:
    """A kernel whose error names what it was given when the device is full.

    Args:
        cp: the module `cupy`.
        name: the kernel's primitive.
        kernel: the kernel itself.
    """
    fn = kernel.fn

    def run(*args: Any, **params: Any) -> Any:
        try:
            return allocated(cp, fn, *args, **params)
        except cp.cuda.memory.OutOfMemoryError as error:
            given = [(a.nbytes, str(a.dtype), a.shape) for a in args if isinstance(a, cp.ndarray)]
            raise DeviceMemoryError(
                f"[{name}] The device has no room for the result. Received: "
                f"{_arrays(given) or params}. {_room(cp)}"
            ) from error

    return Kernel(run, kernel.dtypes, kernel.prepare)


def arena(cp: Any, program: Program, size: int) -> Any:
    """The arena of a program, or `None` if it has none.

    Args:
        cp: the module `cupy`.
        program: the planned program.
        size: bytes of the arena, with what lies behind the program's values.

    Raises:
        DeviceMemoryError: the device has no room for it.
    """
    if not size:
        return None
    try:
        return allocated(cp, cp.cuda.alloc, size)
    except cp.cuda.memory.OutOfMemoryError as error:
        values = [
            (spec.size * itemsize(spec.dtype), spec.dtype, spec.shape)
            for spec, place in zip(program.specs, program.places, strict=True)
            if place.base == ARENA
        ]
        raise DeviceMemoryError(
            f"[{program.name}] The device has no room for what the program computes with. "
            f"Received: {text_of(size)}, of which the largest arrays are "
            f"{_arrays(dict.fromkeys(values))}. {_room(cp)}"
        ) from error
