"""Kernels alone, in a peer's process: arrays in memory like that of programs, and their times."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

held: dict[str, Callable[[], object]] = {}


def hold(name: str, call: Callable[[], object]) -> None:
    """Keeps a call under a name, warmed up."""
    call()
    call()
    held[name] = call


def least_seconds(name: str, budget: float) -> float:
    """The least time of as many calls of what is held as fit in a budget of seconds."""
    call, least, begin = held[name], float("inf"), time.perf_counter()
    now = begin
    while now - begin < budget:
        call()
        after = time.perf_counter()
        least, now = min(least, after - now), after
    return least


def empty(shape: Sequence[int]) -> np.ndarray:
    """Memory that begins with a line of the cache, as that of programs and of PyTorch does."""
    raw = np.empty(4 * int(np.prod(shape)) + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : len(raw) - 64 + start].view("float32").reshape(shape)


def random(shape: Sequence[int]) -> np.ndarray:
    """Normal values there."""
    found = empty(shape)
    found[...] = np.random.default_rng(0).standard_normal(shape)
    return found


def kernel(
    name: str,
    inputs: Sequence[np.ndarray],
    outputs: Sequence[tuple[int, ...]],
    params: Mapping[str, Any],
) -> Callable[[], object]:
    """A call of the kernel that the current engine prepares.

    Args:
        name: primitive or composite.
        inputs: its arguments.
        outputs: shapes of its results.
        params: its parameters.
    """
    from kbackend.engine.loader import current_engine
    from kbackend.engine.program import Spec

    engine = current_engine()
    specs = tuple([Spec(a.shape, "float32", _strides(a)) for a in inputs])
    made = [empty(shape) for shape in outputs]
    prepared = engine.prepare(name, specs, tuple([Spec(s, "float32") for s in outputs]), params)
    if prepared is None:
        found = engine.table.get(name) or engine.composites[name]
        return lambda: found.fn(*inputs, **params)
    arrays = (*made, *inputs, *[empty(spec.shape) for spec in prepared.scratch])
    return _tape(prepared, arrays) or (lambda: prepared.run(*arrays))


def _strides(array: np.ndarray) -> tuple[int, ...] | None:
    if array.flags.c_contiguous:
        return None
    return tuple([step // array.itemsize for step in array.strides])


def _tape(prepared: Any, arrays: tuple[Any, ...]) -> Callable[[], object] | None:
    """The calls of compiled functions, as programs run them."""
    if not hasattr(prepared, "calls"):
        return None
    from kbackend_numba.native import Tape

    tape = Tape()
    for call in prepared.calls:
        pointers = tape.add(call)
        for position, place in enumerate(call.arrays):
            pointers[position] = arrays[place]
    return tape
