"""Kernels of the normalisations: few temporaries, and block by block, so that they stay in cache.

Two layouts have fast kernels, for arrays in any order of memory. *Rows*: the statistics are those
of contiguous stretches (layer normalisation). *Columns*: the last dimension keeps its own
statistics (batch normalisation, channels last). All others take whole-array steps.

Sums are products with a vector of ones: BLAS reads faster than `np.sum` over short rows does. The
moments of blocks are merged by the formula of T. F. Chan et al. (1979), which loses no digits when
the mean is large.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from kbackend.engine.interface import Kernel

Array = Any
Ints = tuple[int, ...]

# Bytes of one block. Three or four blocks of this size fit in a level 2 cache.
_BLOCK = 1 << 17
# Columns are joined until a row has at least this many elements: short inner loops are slow.
_WIDTH = 512


class _Layout(NamedTuple):
    """x in the order of its memory, which is contiguous then.

    Attributes:
        order: the permutation of dimensions that leads there.
        axes: the axes that are normalised over, there.
        kind: "rows", "columns" or "other".
    """

    order: Ints
    axes: Ints
    kind: str

    def apply(self, array: Array) -> Array:
        return np.ascontiguousarray(array.transpose(self.order))

    def undo(self, array: Array) -> Array:
        return array.transpose(np.argsort(self.order))


def _layout(x: Array, axes: Ints) -> _Layout:
    ndim = x.ndim
    if x.flags.c_contiguous:
        order = tuple(range(ndim))
    else:
        order = tuple(sorted(range(ndim), key=lambda i: -x.strides[i]))
    found = tuple(sorted(order.index(axis) for axis in axes))
    # Dimensions of size 1 may stand anywhere.
    over = [i for i in found if x.shape[order[i]] != 1]
    kept = [i for i in range(ndim) if i not in found and x.shape[order[i]] != 1]
    if not over or x.size == 0:
        kind = "other"
    elif not kept or max(kept) < min(over):
        kind = "rows"
    elif max(over) < min(kept):
        kind = "columns"
    else:
        kind = "other"
    return _Layout(order, found, kind)


def _is_wide(*arrays: Array) -> bool:
    """Whether all are float32 or float64, which need not be computed in another dtype."""
    return all(array.dtype.char in "fd" and array.dtype == arrays[0].dtype for array in arrays)


def _in_float32(kernel: Any, arrays: tuple[Array, ...], params: dict[str, Any]) -> Any:
    """Half precision: computed in float32 and rounded once."""
    dtype = arrays[0].dtype
    wide = np.float64 if any(array.dtype == np.float64 for array in arrays) else np.float32
    out = kernel(*(array.astype(wide) for array in arrays), **params)
    if out.__class__ is tuple:
        return tuple([array.astype(dtype) for array in out])
    return out.astype(dtype)


def _flat(array: Array, layout: _Layout, shape: Ints, along: tuple[bool, bool]) -> Array | None:
    """A parameter as `(rows or 1, columns or 1)` of the matrix that x is seen as, if it fits."""
    array = array.transpose(layout.order)
    rows, columns = array.shape[: len(shape[0])], array.shape[len(shape[0]) :]
    del along
    return array.reshape(prod(rows), prod(columns))


def _blocks(rows: int, row_bytes: int) -> list[slice]:
    step = max(1, _BLOCK // max(row_bytes, 1))
    return [slice(i, min(i + step, rows)) for i in range(0, rows, step)]
