"""Memory of a device that runs out: errors that say what was too large."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kbackend.base.dtypes import itemsize
from kbackend.base.errors import EngineError
from kbackend.engine.interface import Kernel
from kbackend.engine.program import ARENA, Program

_SHOWN = 4
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


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


def _room(cp: Any) -> str:
    free, total = cp.cuda.runtime.memGetInfo()
    held = cp.get_default_memory_pool().used_bytes()
    return (
        f"{text_of(free)} of the device's {text_of(total)} are free, and arrays hold "
        f"{text_of(held)}. Use smaller batches, or drop tensors that are not needed any more."
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
            return fn(*args, **params)
        except cp.cuda.memory.OutOfMemoryError as error:
            given = [(a.nbytes, str(a.dtype), a.shape) for a in args if isinstance(a, cp.ndarray)]
            raise DeviceMemoryError(
                f"[{name}] The device has no room for the result. Received: "
                f"{_arrays(given) or params}. {_room(cp)}"
            ) from error

    return Kernel(run, kernel.dtypes, kernel.prepare)


def arena(cp: Any, program: Program) -> Any:
    """The arena of a program, or `None` if it has none.

    Args:
        cp: the module `cupy`.
        program: the planned program.

    Raises:
        DeviceMemoryError: the device has no room for it.
    """
    if not program.arena:
        return None
    try:
        return cp.cuda.alloc(program.arena)
    except cp.cuda.memory.OutOfMemoryError as error:
        values = [
            (spec.size * itemsize(spec.dtype), spec.dtype, spec.shape)
            for spec, place in zip(program.specs, program.places, strict=True)
            if place.base == ARENA
        ]
        raise DeviceMemoryError(
            f"[{program.name}] The device has no room for what the program computes with. "
            f"Received: {text_of(program.arena)}, of which the largest arrays are "
            f"{_arrays(dict.fromkeys(values))}. {_room(cp)}"
        ) from error
