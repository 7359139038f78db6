"""Gather with bounds checks, and scatter with defined results for repeated places.

CuPy wraps indices out of range in silence and leaves open which of several writes to one place
wins. Each call looks at one flag on the host, which makes it wait for the device.
"""

from __future__ import annotations

from math import prod
from typing import Any

from kbackend.engine.interface import Kernel
from kbackend_cupy.dtypes import BFLOAT16

Ints = tuple[int, ...]

_WIDE = {"float16": "float32", "bfloat16": "float32"}
# mode -> dtype -> the dtype to combine in. CUDA's atomicAdd takes no short integers.
_WORK: dict[str, dict[str, str]] = {
    "set": {},
    "add": {**dict.fromkeys(("int8", "uint8", "int16", "uint16"), "int32"), **_WIDE},
    "mul": _WIDE,
    "max": _WIDE,
    "min": _WIDE,
}
# dtype -> dtype of the same bits, or of its parts, that atomicAdd takes.
_ALIAS = {"complex64": "float32", "complex128": "float64"}


def _axes_first(ndim: int, axes: Ints) -> Ints:
    return (*axes, *(i for i in range(ndim) if i not in axes))


def kernels(cp: Any) -> dict[str, Kernel]:
    """The kernels of this family on `cupy`."""
    combine = {"add": cp.add, "mul": cp.multiply, "max": cp.maximum, "min": cp.minimum}

    def checked(x: Any, indices: tuple[Any, ...], axes: Ints) -> tuple[Any, ...]:
        """The indices as int64; raises if one is out of range."""
        indices = tuple([index.astype("int64", copy=False) for index in indices])
        faults: Any = False
        for index, axis in zip(indices, axes, strict=True):
            size = x.shape[axis]
            faults = ((index < -size) | (index >= size)).any() | faults
        if bool(faults):
            raise _fault(x, indices, axes)
        return indices

    def _fault(x: Any, indices: tuple[Any, ...], axes: Ints) -> IndexError:
        for index, axis in zip(indices, axes, strict=True):
            size = x.shape[axis]
            wrong = index[(index < -size) | (index >= size)]
            if wrong.size:
                break
        return IndexError(
            f"Index {int(wrong[0])} is out of range for axis {axis} with size {size}; "
            f"valid indices are {-size} to {size - 1}."
        )

    def gather(x: Any, *indices: Any, axes: Ints) -> Any:
        indices = checked(x, indices, axes)
        if axes == (0,):
            return cp.take(x, indices[0], axis=0)
        return x.transpose(_axes_first(x.ndim, axes))[indices]

    def flat_places(indices: tuple[Any, ...], sizes: Ints) -> Any:
        """Positions in the flattened block of the indexed dimensions."""
        place: Any = 0
        for index, size in zip(indices, sizes, strict=True):
            place = place * size + cp.where(index < 0, index + size, index)
        return place.reshape(-1)

    def last_of_each(places: Any) -> Any:
        """Where a sorted vector holds the last of equal elements."""
        return cp.flatnonzero(cp.concatenate((places[1:] != places[:-1], cp.ones(1, bool))))

    def in_order(rows: Any, values: Any, places: Any, mode: str) -> None:
        """Combines `values[i]` into `rows[places[i]]`, the same way in each run."""
        order = cp.argsort(places)
        places, values = places[order], values[order]
        op = combine.get(mode)
        if op is not None:
            # A running combination over equal places: in each round twice as many are joined.
            step = 1
            while step < len(places):
                same = (places[step:] == places[:-step])[:, None]
                values[step:] = cp.where(same, op(values[:-step], values[step:]), values[step:])
                step *= 2
        last = last_of_each(places)
        places, values = places[last], values[last]
        rows[places] = values if op is None else op(rows[places], values)

    def add(rows: Any, values: Any, places: Any) -> None:
        alias = _ALIAS.get(rows.dtype.name)
        if alias is not None:
            rows, values = rows.view(alias), cp.ascontiguousarray(values).view(alias)
        cp.add.at(rows, places, values)

    def combined(x: Any, updates: Any, indices: tuple[Any, ...], mode: str) -> Any:
        """`scatter` into the leading axes, one per index."""
        k = len(indices)
        out = x.astype(x.dtype, order="C", copy=True)
        places = flat_places(indices, x.shape[:k])
        rows = out.reshape(prod(x.shape[:k]), prod(x.shape[k:]))
        values = updates.reshape(places.size, rows.shape[1])
        if values.size:
            if mode == "add" and x.dtype.kind != "b":
                add(rows, values, places)
            else:
                in_order(rows, values, places, mode)
        return out

    def scatter(x: Any, updates: Any, *indices: Any, axes: Ints, mode: str) -> Any:
        indices = checked(x, indices, axes)
        dtype = x.dtype
        order = _axes_first(x.ndim, axes)
        # Low precision is summed in float32 and rounded once.
        work = _WORK[mode].get(dtype.name, dtype.name)
        if mode == "set" and dtype == BFLOAT16:
            x, updates = x.view("int16"), updates.view("int16")
        else:
            x, updates = x.astype(work, copy=False), updates.astype(work, copy=False)
        out = combined(x.transpose(order), updates, indices, mode)
        out = out.view(dtype) if mode == "set" else out.astype(dtype, copy=False)
        if order != tuple(range(out.ndim)):
            inverse = sorted(range(out.ndim), key=order.__getitem__)
            out = cp.ascontiguousarray(out.transpose(inverse))
        return out

    return {"gather": Kernel(gather), "scatter": Kernel(scatter)}
