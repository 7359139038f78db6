"""Kernels that work block by block, so that what lies between their passes stays in cache.

A rule says what happens to one block: rows of some elements each, the same rows of every array.
Elementwise rules take rows of any kind; others have the classes of one sample in a row. Large
arrays are handed to the pool of threads, a block at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from kbackend.base.dtypes import FLOAT_SET, numpy_dtype
from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numpy import threads

Array = Any
Ints = tuple[int, ...]

# Bytes of one block. On one thread, blocks that fit in a level 2 cache several times would be best;
# beside other threads each call has to wait for the interpreter's lock, and must be worth it.
BLOCK = 1 << 20

_WIDE = ("float32", "float64")


@dataclass(frozen=True)
class Rule:
    """What happens to one block.

    Attributes:
        run: called as `run(out, *arrays, *scratch)`.
        scratch: memory that it needs: "block" is like the largest of the arrays, "row" has one
            element per row, "index" one integer per row.
        in_place: which arrays `out` may share its memory with: it is written last.
        cost: nanoseconds per element, roughly.
    """

    run: Callable[..., None]
    scratch: tuple[str, ...] = ()
    in_place: Ints = ()
    cost: float = 1.0


def _memory(kind: str, rows: int, rest: Ints, dtype: str) -> tuple[Ints, str]:
    if kind == "block":
        return (rows, *rest), dtype
    return (rows,), "int64" if kind == "index" else dtype


def _overwrites(rule: Rule) -> tuple[tuple[int, int], ...]:
    return tuple([(i, 0) for i in rule.in_place])


def in_blocks(rule: Rule, rows: int, rest: Ints, dtype: str) -> Prepared:
    """`rule` for arrays of `rows` rows, the largest of which have the shape `(rows, *rest)`."""
    row = max(1, prod(rest))
    step = min(rows, max(1, BLOCK // (row * numpy_dtype(dtype).itemsize)))
    if step == rows:
        scratch = [Spec(*_memory(kind, rows, rest, dtype)) for kind in rule.scratch]
        return Prepared(rule.run, tuple(scratch), _overwrites(rule))
    blocks, run, kinds = -(-rows // step), rule.run, len(rule.scratch)
    work = rule.cost * rows * row
    workers = threads.count() if work >= threads.WORTH_SPLITTING else 1
    if workers > 1:
        # As many blocks for each thread.
        step = -(-rows // (-(-blocks // workers) * workers))
        blocks = -(-rows // step)

    def over_blocks(out: Array, *arrays: Array) -> None:
        last = len(arrays) - kinds
        arrays, memory = arrays[:last], arrays[last:]

        def part(index: int, worker: int) -> None:
            at = slice(index * step, min((index + 1) * step, rows))
            some = slice(0, at.stop - at.start)
            run(out[at], *[a[at] for a in arrays], *[m[worker, some] for m in memory])

        if workers > 1 and threads.active():
            threads.split(part, blocks)
        else:
            for index in range(blocks):
                part(index, 0)

    scratch = []
    for kind in rule.scratch:
        shape, of = _memory(kind, step, rest, dtype)
        scratch.append(Spec((workers, *shape), of))
    return Prepared(
        over_blocks, tuple(scratch), _overwrites(rule), work=work if workers > 1 else 0.0
    )


# ----- elementwise rules -----


def elementwise(rule: Rule, inputs: Sequence[Spec], dtype: str | None = None) -> Prepared:
    """`rule` on arrays of one shape. The computation has the last one's dtype, or `dtype`."""
    shape = inputs[-1].shape
    dtype = dtype or inputs[-1].dtype
    size = inputs[-1].size
    if size * numpy_dtype(dtype).itemsize <= BLOCK:
        # One block, that needs no other shape.
        scratch = tuple([Spec(shape, dtype)] * len(rule.scratch))
        return Prepared(rule.run, scratch, _overwrites(rule))
    if not all(s.contiguous for s in inputs):
        return in_blocks(rule, shape[0], shape[1:], dtype)
    flat = in_blocks(rule, size, (), dtype)
    count, run = len(inputs), flat.run

    def flattened(out: Array, *arrays: Array) -> None:
        made = [a.reshape(size) for a in arrays[:count]]
        run(out.reshape(size), *made, *arrays[count:])

    return Prepared(flattened, flat.scratch, flat.overwrites, flat.work)


# ----- rules over rows of classes -----


def over_classes(
    rule: Rule, inputs: Sequence[Spec], axes: Ints, by_sample: Ints = (), reduced: bool = False
) -> Prepared:
    """`rule` on rows of the classes along `axes`.

    The arrays at the positions `by_sample` do not depend on the class; they come as vectors, and so
    does the result where `reduced` says so.
    """
    x = inputs[-1]
    if not x.size:
        return Prepared(lambda out, *arrays: out.fill(0))
    ndim = len(x.shape)
    outer = tuple([i for i in range(ndim) if i not in axes])
    order = (*outer, *axes)
    turned = order != tuple(range(ndim))
    dims = tuple([x.shape[i] for i in order])
    rows, classes = prod(dims[: len(outer)]), prod(dims[len(outer) :])
    inner = in_blocks(rule, rows, (classes,), x.dtype)
    # Arrays that are laid out otherwise are copied: (position, transposition), in scratch.
    shapes, copies, scratch = [], [], []
    for i, spec in enumerate(inputs):
        whole = i not in by_sample
        shapes.append((rows, classes) if whole else (rows,))
        if not spec.contiguous or (turned and whole):
            axes_now = order if whole else tuple(range(len(spec.shape)))
            copies.append((i, axes_now))
            scratch.append(Spec(tuple([spec.shape[j] for j in axes_now]), spec.dtype))
    back = turned and not reduced
    if back:
        scratch.append(Spec(dims, x.dtype))
    count, taken, run = len(inputs), len(scratch), inner.run
    into = (rows,) if reduced else (rows, classes)

    def by_rows(out: Array, *memory: Array) -> None:
        arrays, own = list(memory[:count]), memory[count : count + taken]
        for (i, axes_now), copy in zip(copies, own, strict=False):
            np.copyto(copy, arrays[i].transpose(axes_now))
            arrays[i] = copy
        made = [a.reshape(shape) for a, shape in zip(arrays, shapes, strict=True)]
        run((own[-1] if back else out).reshape(into), *made, *memory[count + taken :])
        if back:
            np.copyto(out.transpose(order), own[-1])

    return Prepared(
        by_rows, (*scratch, *inner.scratch), _overwrites(rule) if not turned else (), inner.work
    )


@lru_cache(maxsize=64)
def _ones(count: int, dtype: Any) -> Array:
    return np.ones(count, dtype)


def row_sums(x: Array, out: Array) -> Array:
    """Sums over the rows of a matrix."""
    # BLAS is faster than NumPy's own sums over short rows.
    return x.dot(_ones(x.shape[1], x.dtype), out)


# With more columns than this, NumPy's maximum over rows is faster than a transposed copy.
_SHORT = 64


def row_maxima(x: Array, out: Array, scratch: Array) -> Array:
    """Maxima over the rows of a matrix; `scratch` has its size."""
    if x.shape[1] > _SHORT:
        return np.maximum.reduce(x, 1, out=out)
    turned = scratch.reshape(x.shape[::-1])
    np.copyto(turned, x.T)
    return np.maximum.reduce(turned, 0, out=out)


def spread(row: Array, out: Array) -> Array:
    """Each row's element, all over the row."""
    # Two passes, this and one over arrays of one shape, are faster than one that broadcasts; that
    # one would allocate a buffer, too.
    np.copyto(out, row[:, None])
    return out


# ----- kernels of rules -----


def _spec(a: Array) -> Spec:
    return Spec(a.shape, a.dtype.name)


def _last(*shapes: Ints, **params: Any) -> Ints:
    return shapes[-1]


def _always(dtype: str, **params: Any) -> bool:
    return True


def kernel(
    plan: Callable[..., Prepared],
    shape: Callable[..., Ints] = _last,
    dtypes: frozenset[str] | None = FLOAT_SET,
    of: int = -1,
    prepared: Callable[..., bool] = _always,
) -> Kernel:
    """The kernel of a plan.

    Args:
        plan: specs of the inputs and parameters -> a kernel for float32 or float64.
        shape: shapes of the inputs and parameters -> that of the result.
        dtypes: see `Kernel`.
        of: the position of the input whose dtype is that of the computation.
        prepared: that dtype and parameters -> whether it allocates nothing.
    """

    @lru_cache(maxsize=512)
    def planned(specs: tuple[Spec, ...], params: tuple[tuple[str, Any], ...]) -> Any:
        named = dict(params)
        ready = plan(specs, **named)
        out = shape(*[s.shape for s in specs], **named)
        return ready.run, out, [(s.shape, numpy_dtype(s.dtype)) for s in ready.scratch]

    def fn(*arrays: Array, **params: Any) -> Array:
        dtype = arrays[of].dtype
        if dtype.char not in "fd":
            # Low precision rounds once, at the end.
            wide = [a.astype(np.float32) if a.dtype == dtype else a for a in arrays]
            return fn(*wide, **params).astype(dtype)
        arrays = tuple([np.asarray(a, order="C") for a in arrays])
        specs = tuple([_spec(a) for a in arrays])
        run, out_shape, scratch = planned(specs, tuple(params.items()))
        out = np.empty(out_shape, dtype)
        with np.errstate(all="ignore"):
            run(out, *arrays, *[np.empty(s, d) for s, d in scratch])
        return out

    def prepare(inputs: Sequence[Spec], outputs: Sequence[Spec], **params: Any) -> Prepared | None:
        dtype = inputs[of].dtype
        if dtype not in _WIDE or not prepared(dtype, **params):
            return None
        return plan(inputs, **params)

    return Kernel(fn, dtypes, prepare)
