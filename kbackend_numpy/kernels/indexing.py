"""Gather and scatter in NumPy, with bounds checks that name the place."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numpy.kernels.buffering import short_buffer

Array = np.ndarray[Any, Any]
Ints = tuple[int, ...]

_COMBINE = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
_LOW_PRECISION = frozenset(("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"))


def fault(shape: Ints, indices: Sequence[Array], axes: Ints) -> IndexError | None:
    """The error that names the first index out of range of an array's axes, if there is one."""
    for axis, index in zip(axes, indices, strict=True):
        size = shape[axis]
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
        error = fault(x.shape, indices, axes)
        if error is None:
            raise
        raise error from None
    # One element of a vector comes as a scalar.
    return out if out.__class__ is np.ndarray else np.asarray(out)


def scatter(x: Array, updates: Array, *indices: Array, axes: Ints, mode: str) -> Array:
    error = fault(x.shape, indices, axes)
    if error is not None:
        raise error
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


# ----- into memory that is there already -----


def _leading(x: Spec, indices: tuple[Spec, ...], axes: Ints) -> bool:
    """Whether the indexed dimensions come first, so that they are one dimension of rows."""
    alike = all(i.shape == indices[0].shape for i in indices)
    return alike and axes == tuple(range(len(axes))) and x.size > 0 and indices[0].size > 0


def _fill_places(
    x: Array, indices: tuple[Array, ...], axes: Ints, places: Array, index: Array
) -> None:
    """Positions in the flattened block of the indexed dimensions into `places`.

    Raises:
        IndexError: an index is out of range.
    """
    error = fault(x.shape, indices, axes)
    if error is not None:
        raise error
    for number, (given, axis) in enumerate(zip(indices, axes, strict=True)):
        at = index if number else places
        np.copyto(at, given, casting="unsafe")
        if at.min() < 0:
            np.remainder(at, np.intp(x.shape[axis]), out=at)
        if number:
            np.multiply(places, np.intp(x.shape[axis]), out=places)
            np.add(places, index, out=places)


def _room(indices: tuple[Spec, ...]) -> tuple[Spec, Spec]:
    """Scratch for places, and for an index that comes after the first."""
    shape = indices[0].shape
    return Spec(shape, "int64"), Spec(shape if len(indices) > 1 else (0,), "int64")


def _prepare_gather(
    inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], axes: Ints
) -> Prepared | None:
    x, *indices = inputs
    if not _leading(x, tuple(indices), axes) or not x.contiguous:
        return None
    k = len(axes)
    rows, width, count = prod(x.shape[:k]), x.shape[k:], indices[0].size

    def run(out: Array, x: Array, *rest: Array) -> None:
        given, (places, index) = rest[:k], rest[k:]
        _fill_places(x, given, axes, places, index)
        # Places are within bounds: other modes than this would check them in memory of their own.
        flat = x.reshape(rows, *width)
        flat.take(places.reshape(-1), axis=0, out=out.reshape(count, *width), mode="clip")

    return Prepared(run, _room(tuple(indices)))


def _prepare_scatter(
    inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], axes: Ints, mode: str
) -> Prepared | None:
    x, updates, *indices = inputs
    if not _leading(x, tuple(indices), axes) or (mode != "set" and x.dtype in _LOW_PRECISION):
        return None
    k = len(axes)
    rows, width, count = prod(x.shape[:k]), prod(x.shape[k:]), indices[0].size
    each = mode != "set" and width != 1
    line = np.arange(width)

    def run(out: Array, x: Array, updates: Array, *rest: Array) -> None:
        given, (places, index, elements, values) = rest[:k], rest[k:]
        _fill_places(x, given, axes, places, index)
        if not np.may_share_memory(out, x):
            np.copyto(out, x)
        if values.size:
            np.copyto(values, updates)
            updates = values
        at, updates = places.reshape(-1), updates.reshape(count, width)
        if mode == "set":
            out.reshape(rows, width)[at] = updates
            return
        if each:
            np.multiply(at, np.intp(width), out=at)
            np.add(at[:, None], line, out=elements)
            at = elements.reshape(-1)
        _COMBINE[mode].at(out.reshape(-1), at, updates.reshape(-1))

    scratch = (
        *_room(tuple(indices)),
        Spec((count, width) if each else (0,), "int64"),
        Spec((0,) if updates.contiguous else updates.shape, updates.dtype),
    )
    return Prepared(short_buffer(run), scratch, ((0, 0),) if x.contiguous else ())


KERNELS: dict[str, Kernel] = {
    "gather": Kernel(gather, prepare=_prepare_gather),
    "scatter": Kernel(scatter, prepare=_prepare_scatter),
}
