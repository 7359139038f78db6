"""Reductions: by the ufuncs' own `reduce`, and where that is slow, by other means.

NumPy sums neighbours pairwise, which is exact but slow on short rows, and other dimensions with one
short inner loop for each row. Products with a vector of ones take a fifth of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.array_module.reduce import NARROW
from kbackend.engine.array_module.reduce import kernels as shared
from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numpy import threads

Array = Any
Ints = tuple[int, ...]
Specs = tuple[Spec, ...]

# So many elements at most are added one after another; beyond that sums of parts are added.
_RUN = 4096
# Rows up to this length are turned before the greatest is sought: loops over rows are long then.
_SHORT = 64
# Bytes of what is turned at a time: it fits the first level cache.
_TURNED = 1 << 15
# Bytes from which on threads share the work.
_LARGE = 12 << 20
# Nanoseconds for a byte.
_COST = 0.04


def _accumulating(ufunc: Any) -> Callable[..., Any]:
    reduce = ufunc.reduce

    def kernel(x: Any, *, axes: Ints, keepdims: bool) -> Any:
        dtype = x.dtype
        if dtype in NARROW:
            return reduce(x, axis=axes, dtype="float32", keepdims=keepdims).astype(dtype)
        return reduce(x, axis=axes, dtype=dtype, keepdims=keepdims)

    return kernel


def _extreme(ufunc: Any) -> Callable[..., Any]:
    reduce = ufunc.reduce

    def kernel(x: Any, *, axes: Ints, keepdims: bool) -> Any:
        return reduce(x, axis=axes, keepdims=keepdims)

    return kernel


def _by_reduce(ufunc: Any, x: Spec, axes: Ints, keepdims: bool) -> Prepared | None:
    dtype, reduce = numpy_dtype(x.dtype), ufunc.reduce
    if dtype in NARROW:
        return None

    def run(out: Array, x: Array) -> None:
        reduce(x, axis=axes, dtype=dtype, out=out, keepdims=keepdims)

    return Prepared(run)


# ----- the layout -----


def _groups(x: Spec, axes: Ints) -> tuple[Ints, Ints, str] | None:
    """x in the order of memory with neighbours joined that share their fate.

    Returns:
        The permutation that leads to the order of memory, the sizes, and "s" (summed) or "k"
        (kept) for each; `None` where x has gaps or the result would lie in another order.
    """
    order = tuple(range(len(x.shape)))
    if x.strides is not None:
        strides = x.strides
        order = tuple(sorted(order, key=lambda i: -strides[i]))
        dense = 1
        for i in reversed(order):
            if x.shape[i] != 1 and strides[i] != dense:
                return None
            dense *= x.shape[i]
        kept = [i for i in order if i not in axes and x.shape[i] != 1]
        if kept != sorted(kept):
            return None
    sizes: list[int] = []
    kinds = ""
    for i in order:
        if x.shape[i] == 1:
            continue
        kind = "s" if i in axes else "k"
        if kinds.endswith(kind):
            sizes[-1] *= x.shape[i]
        else:
            sizes.append(x.shape[i])
            kinds += kind
    return order, tuple(sizes), kinds


def _viewed(order: Ints, sizes: Ints, run: Callable[..., None]) -> Callable[..., None]:
    """`run` on x with joined dimensions, and on the result as a vector."""

    def viewed(out: Array, x: Array, *scratch: Array) -> None:
        run(out.reshape(-1), x.transpose(order).reshape(sizes), *scratch)

    return viewed


# ----- sums by BLAS -----

# What runs on joined dimensions, and its scratch.
_Made = tuple[Callable[..., Any], tuple[Spec, ...]]


@lru_cache(maxsize=256)
def _ones(size: int, dtype: str) -> Array:
    ones = np.ones(size, dtype)
    ones.setflags(write=False)
    return ones


def _in_parts(part: Callable[[int, int], None], parts: int, large: bool) -> None:
    if large and threads.active():
        threads.split(part, parts)
    else:
        for index in range(parts):
            part(index, 0)


def _sum_rows(sizes: Ints, dtype: str, large: bool) -> _Made:
    """Sums of columns."""
    rows, columns = sizes
    if rows <= _RUN:
        ones = _ones(rows, dtype)
        return (lambda out, x: np.dot(ones, x, out=out)), ()
    runs = threads.ranges(rows, -(-rows // _RUN))
    parts = threads.ranges(len(runs), threads.count() if large else 1)
    ones, last = _ones(_RUN, dtype), _ones(len(runs), dtype)

    def by_runs(out: Array, x: Array, sums: Array) -> None:
        def part(index: int, worker: int) -> None:
            for run in range(*parts[index]):
                first, end = runs[run]
                np.dot(ones[: end - first], x[first:end], out=sums[run])

        _in_parts(part, len(parts), large)
        np.dot(last, sums, out=out)

    return by_runs, (Spec((len(runs), columns), dtype),)


def _sum_columns(sizes: Ints, dtype: str, large: bool) -> _Made:
    """Sums of rows."""
    rows, columns = sizes
    ones = _ones(columns, dtype) if columns <= _RUN else None
    parts = threads.ranges(rows, threads.count() if large else 1)

    def run(out: Array, x: Array) -> None:
        def part(index: int, worker: int) -> None:
            first, end = parts[index]
            if ones is None:
                np.add.reduce(x[first:end], axis=1, out=out[first:end])
            else:
                np.dot(x[first:end], ones, out=out[first:end])

        _in_parts(part, len(parts), large)

    return run, ()


def _sum_middle(sizes: Ints, dtype: str, large: bool) -> _Made | None:
    """Sums over the middle one of three dimensions."""
    outer, rows, columns = sizes
    if rows > _RUN:
        return None
    ones = _ones(rows, dtype).reshape(1, rows)
    parts = threads.ranges(outer, threads.count() if large else 1)

    def run(out: Array, x: Array) -> None:
        out = out.reshape(outer, 1, columns)

        def part(index: int, worker: int) -> None:
            first, end = parts[index]
            np.matmul(ones, x[first:end], out=out[first:end])

        _in_parts(part, len(parts), large)

    return run, ()


def _sum_around(sizes: Ints, dtype: str, large: bool) -> _Made:
    """Sums over the first and the last one of three dimensions."""
    outer, kept, inner = sizes
    short, _ = _sum_columns((outer * kept, inner), dtype, large)
    sum_up, scratch = _sum_rows((outer, kept), dtype, False)

    def run(out: Array, x: Array, sums: Array, *scratch: Array) -> None:
        short(sums.reshape(-1), x.reshape(-1, inner))
        sum_up(out, sums, *scratch)

    return run, (Spec((outer, kept), dtype), *scratch)


def _sum_all(sizes: Ints, dtype: str, large: bool) -> _Made | None:
    """The sum of all: pairwise, as NumPy does it."""
    (size,) = sizes
    if not large:
        return None
    parts = threads.ranges(size, threads.count())

    def run(out: Array, x: Array, sums: Array) -> None:
        def part(index: int, worker: int) -> None:
            first, end = parts[index]
            np.add.reduce(x[first:end], out=sums[index], keepdims=True)

        _in_parts(part, len(parts), True)
        np.add.reduce(sums, axis=0, out=out)

    return run, (Spec((len(parts), 1), dtype),)


_SUMS: dict[str, Callable[[Ints, str, bool], _Made | None]] = {
    "s": _sum_all,
    "sk": _sum_rows,
    "ks": _sum_columns,
    "ksk": _sum_middle,
    "sks": _sum_around,
}


def _sum(inputs: Specs, outputs: Specs, axes: Ints, keepdims: bool) -> Prepared | None:
    x = inputs[0]
    found = _groups(x, axes) if x.dtype in ("float32", "float64") and x.size else None
    if found is None:
        return _by_reduce(np.add, x, axes, keepdims)
    order, sizes, kinds = found
    large = x.size * numpy_dtype(x.dtype).itemsize >= _LARGE
    make = _SUMS.get(kinds)
    made = make(sizes, x.dtype, large) if make else None
    if made is None:
        return _by_reduce(np.add, x, axes, keepdims)
    run, scratch = made
    work = _COST * x.size * numpy_dtype(x.dtype).itemsize if large else 0.0
    return Prepared(_viewed(order, sizes, run), scratch, work=work)


# ----- the greatest and least -----


def _extreme_prepared(ufunc: Any) -> Callable[..., Prepared | None]:
    def prepare(inputs: Specs, outputs: Specs, axes: Ints, keepdims: bool) -> Prepared | None:
        x = inputs[0]
        if not x.size:
            return None
        found = _groups(x, axes)
        if found is None or found[2] != "ks" or found[1][1] > _SHORT:
            return _by_reduce(ufunc, x, axes, keepdims)
        order, (rows, columns), _ = found
        step = min(rows, max(1, _TURNED // (columns * numpy_dtype(x.dtype).itemsize)))

        def run(out: Array, x: Array, turned: Array) -> None:
            for first in range(0, rows, step):
                block = x[first : first + step]
                flipped = turned[:, : len(block)]
                np.copyto(flipped, block.T)
                ufunc.reduce(flipped, axis=0, out=out[first : first + step])

        scratch = (Spec((columns, step), x.dtype),)
        return Prepared(_viewed(order, (rows, columns), run), scratch)

    return prepare


def _position_prepared(find: Callable[..., Any]) -> Callable[..., Prepared | None]:
    def prepare(inputs: Specs, outputs: Specs, axis: int) -> Prepared | None:
        x = inputs[0]
        if not x.size or numpy_dtype(x.dtype) in NARROW:
            return None
        axis %= len(x.shape)
        places = Spec(x.shape[:axis] + x.shape[axis + 1 :], "int64")
        if x.contiguous and axis == len(x.shape) - 1:

            def run(out: Array, x: Array, places: Array) -> None:
                find(x, axis=-1, out=places)
                np.copyto(out, places, casting="same_kind")

            return Prepared(run, (places,))

        # NumPy would make this copy itself, in memory of its own.
        last = (*(i for i in range(len(x.shape)) if i != axis), axis)
        moved = Spec(tuple([x.shape[i] for i in last]), x.dtype)

        def run_moved(out: Array, x: Array, places: Array, moved: Array) -> None:
            np.copyto(moved, x.transpose(last))
            find(moved, axis=-1, out=places)
            np.copyto(out, places, casting="same_kind")

        return Prepared(run_moved, (places, moved))

    return prepare


def _product(inputs: Specs, outputs: Specs, axes: Ints, keepdims: bool) -> Prepared | None:
    return _by_reduce(np.multiply, inputs[0], axes, keepdims)


_SHARED = shared(np)

KERNELS: dict[str, Kernel] = {
    "reduce_sum": Kernel(_accumulating(np.add), prepare=_sum),
    "reduce_prod": Kernel(_accumulating(np.multiply), prepare=_product),
    "reduce_max": Kernel(_extreme(np.maximum), prepare=_extreme_prepared(np.maximum)),
    "reduce_min": Kernel(_extreme(np.minimum), prepare=_extreme_prepared(np.minimum)),
    "argmax": Kernel(_SHARED["argmax"].fn, prepare=_position_prepared(np.argmax)),
    "argmin": Kernel(_SHARED["argmin"].fn, prepare=_position_prepared(np.argmin)),
}
