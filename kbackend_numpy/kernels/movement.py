"""Movement and creation into memory that is there already."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.array_module.movement import kernels
from kbackend.engine.interface import Kernel, Prepare
from kbackend.engine.program import Prepared, Spec

Array = Any
Ints = tuple[int, ...]
Specs = tuple[Spec, ...]
Slices = tuple[slice, ...]


def _concatenate(inputs: Specs, outputs: Specs, axis: int) -> Prepared:
    def run(out: Array, *xs: Array) -> None:
        np.concatenate(xs, axis=axis, out=out)

    return Prepared(run)


def _margins(shape: Ints, widths: tuple[Ints, ...]) -> list[Slices]:
    """The places of a padded array around the one that is padded: two slabs per dimension."""
    found: list[Slices] = []
    inside: Slices = ()
    for n, (low, high, _) in zip(shape, widths, strict=True):
        found += [(*inside, slice(0, low))] * (low > 0)
        found += [(*inside, slice(low + n, low + n + high))] * (high > 0)
        inside = (*inside, slice(low, low + n))
    return found


def _pad(inputs: Specs, outputs: Specs, widths: tuple[Ints, ...]) -> Prepared:
    shape = inputs[0].shape
    spread = any(gap for _, _, gap in widths)
    places = tuple(
        [
            slice(low, low + n + max(n - 1, 0) * gap, gap + 1)
            for n, (low, _, gap) in zip(shape, widths, strict=True)
        ]
    )
    margins: list[Slices] = [()] if spread else _margins(shape, widths)

    def run(out: Array, x: Array, value: Array) -> None:
        for margin in margins:
            np.copyto(out[margin], value)
        np.copyto(out[places], x)

    return Prepared(run)


def _window(shape: Ints, starts: Array, sizes: Ints) -> Slices:
    # A block that would stick out is moved inside, so that its size is always the asked one.
    found = []
    for start, n, size in zip(starts.tolist(), shape, sizes, strict=True):
        first = min(max(start, 0), n - size)
        found.append(slice(first, first + size))
    return tuple(found)


def _dynamic_slice(inputs: Specs, outputs: Specs, sizes: Ints) -> Prepared:
    shape = inputs[0].shape

    def run(out: Array, x: Array, starts: Array) -> None:
        np.copyto(out, x[_window(shape, starts, sizes)])

    return Prepared(run)


def _dynamic_update_slice(inputs: Specs, outputs: Specs) -> Prepared:
    x, update, _ = inputs
    shape, sizes = x.shape, update.shape

    def run(out: Array, x: Array, update: Array, starts: Array) -> None:
        if not np.may_share_memory(out, x):
            np.copyto(out, x)
        np.copyto(out[_window(shape, starts, sizes)], update)

    return Prepared(run, overwrites=((0, 0),) if x.contiguous else ())


def _full(inputs: Specs, outputs: Specs, shape: Ints, value: Any, dtype: str) -> Prepared:
    constant = np.full((), value, numpy_dtype(dtype))
    return Prepared(lambda out: np.copyto(out, constant))


def _iota(inputs: Specs, outputs: Specs, shape: Ints, axis: int, dtype: str) -> Prepared:
    line = _SHARED["iota"].fn(shape=shape, axis=axis, dtype=dtype)
    return Prepared(lambda out: np.copyto(out, line))


_SHARED = kernels(np)
_PREPARE: dict[str, Prepare] = {
    "concatenate": _concatenate,
    "pad": _pad,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "full": _full,
    "iota": _iota,
}
KERNELS: dict[str, Kernel] = {
    name: Kernel(_SHARED[name].fn, prepare=prepare) for name, prepare in _PREPARE.items()
}
