"""Gather and scatter in NumPy, with bounds checks that name the place."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from kbackend.engine.interface import Kernel

Array = np.ndarray[Any, Any]
Ints = tuple[int, ...]

_COMBINE = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
_LOW_PRECISION = frozenset(("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"))


def _fault(x: Array, indices: tuple[Array, ...], axes: Ints) -> IndexError | None:
    """The error that names the first index out of range, if there is one."""
    for axis, index in zip(axes, indices, strict=True):
        size = x.shape[axis]
        if index.size and (index.min() < -size or index.max() >= size):
            first = index[(index < -size) | (index >= size)].flat[0]
            return IndexError(
                f"Index {first} is out of range for axis {axis} with size {size}; "
                f"valid indices are {-size} to {size - 1}."
            )
    return None


def _as_index(index: Array) -> Array:
    # NumPy takes every integer type as an index except uint64.
    return index.astype(np.intp) if index.dtype == np.uint64 else index


def _axes_first(ndim: int, axes: Ints) -> Ints:
    return (*axes, *(i for i in range(ndim) if i not in axes))


def gather(x: Array, *indices: Array, axes: Ints) -> Array:
    try:
        if axes == (0,):
            out = x.take(_as_index(indices[0]), axis=0)
        else:
            out = x.transpose(_axes_first(x.ndim, axes))[tuple(map(_as_index, indices))]
    except IndexError:
        fault = _fault(x, indices, axes)
        if fault is None:
            raise
        raise fault from None
    # One element of a vector comes as a scalar.
    return out if out.__class__ is np.ndarray else np.asarray(out)


def scatter(x: Array, updates: Array, *indices: Array, axes: Ints, mode: str) -> Array:
    fault = _fault(x, indices, axes)
    if fault is not None:
        raise fault
    k = len(axes)
    low = mode != "set" and x.dtype.name in _LOW_PRECISION
    order = _axes_first(x.ndim, axes)
    out = x.transpose(order).astype(np.float32 if low else x.dtype, order="C", copy=True)
    places = _flatten(indices, out.shape[:k])
    rows = out.reshape(prod(out.shape[:k]), prod(out.shape[k:]))
    values = updates.reshape(places.size, rows.shape[1])
    if low:
        values = values.astype(np.float32)
    if values.size:
        _combine(rows, values, places, mode)
    if low:
        out = out.astype(x.dtype)
    if order != tuple(range(x.ndim)):
        out = np.ascontiguousarray(out.transpose(np.argsort(order)))
    return out


def _flatten(indices: tuple[Array, ...], sizes: Ints) -> Array:
    """Positions in the flattened block of the indexed dimensions."""
    place: Any = 0
    for index, size in zip(indices, sizes, strict=True):
        index = index.astype(np.intp)
        if index.size and index.min() < 0:
            index = np.where(index < 0, index + size, index)
        place = place * size + index
    return np.asarray(place).reshape(-1)


def _combine(rows: Array, values: Array, places: Array, mode: str) -> None:
    """Combines `values[i]` into `rows[places[i]]` for each i in turn."""
    width = rows.shape[1]
    if mode == "set":
        rows[places] = values
        return
    # `ufunc.at` has a fast path for one flat index and none for rows: about four times as fast as
    # indexing rows, and ahead of `reduceat` on sorted rows and of `bincount` at nearly all sizes.
    if width != 1:
        places = (places[:, None] * width + np.arange(width)).reshape(-1)
    _COMBINE[mode].at(rows.reshape(-1), places, values.reshape(-1))


KERNELS: dict[str, Kernel] = {"gather": Kernel(gather), "scatter": Kernel(scatter)}
