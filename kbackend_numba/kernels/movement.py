"""Movement of elements: joining, padding, and blocks at places that only the run knows."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.program import Ints, Prepared, Spec
from kbackend.engine.strides import contiguous_strides
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.nest import rows
from kbackend_numba.codegen.value import Address, Type, Value
from kbackend_numba.codegen.vectors import each_vector, fill
from kbackend_numba.kernels.copying import WORDS, copy, packed
from kbackend_numba.native import Call, Prepare, native

Specs = tuple[Spec, ...]

# Nanoseconds for a byte, and to begin a run.
_BYTE, _START = 0.05, 3.0
# Elements of a run that are one item.
_RUN = 8192


def _word(spec: Spec) -> str | None:
    """Integers as wide as a dtype's elements."""
    return WORDS.get(numpy_dtype(spec.dtype).itemsize)


def _move(code: Code, word: str, out: Address, x: Address, count: Value) -> None:
    """Copies a run of elements."""
    lanes = code.target.lanes(Type(word).bits // 8)

    def vector(at: Value, mask: Value | None) -> None:
        code.store(code.load(x, at, word, lanes, mask), out, at, mask)

    each_vector(code, count, lanes, vector)


def _cost(word: str, count: int) -> float:
    return _START + count * Type(word).bits / 8 * _BYTE


# ----- joining -----


@packed
def _concatenate(inputs: Specs, outputs: Specs, axis: int) -> Prepared | None:
    (out,) = outputs
    word = _word(out)
    if word is None:
        return None
    axis %= len(out.shape)
    outer, unit = prod(out.shape[:axis]), prod(out.shape[axis + 1 :])
    width, offset, calls = out.shape[axis] * unit, 0, []
    for i, x in enumerate(inputs):
        count = x.shape[axis] * unit
        if x.size:
            calls.append(_slab(word, (0, 1 + i), outer, count, width, offset))
        offset += count
    return native(calls)


def _slab(word: str, arrays: Ints, outer: int, count: int, width: int, offset: int) -> Call:
    """The call that copies rows of `count` elements into those of `width`, from `offset` on."""
    blocks = -(-count // _RUN)
    long = blocks > 1
    made = function(("slab", word, long), lambda code: _write_slab(code, word, long))
    sizes = (count, width, offset, blocks)
    return Call(made, arrays, sizes, outer * blocks, _cost(word, min(count, _RUN)))


def _write_slab(code: Code, word: str, long: bool) -> None:
    """Writes `out` from `x`. Items are rows or, if these are long, blocks of them."""
    count, width, offset, blocks = (code.size(i) for i in range(4))
    with code.loop(code.begin, code.end) as item:
        row, start, length = item, code.number(0), count
        if long:
            row = item // blocks
            start = (item - row * blocks) * _RUN
            left = count - start
            length = code.select(left < _RUN, left, code.number(_RUN))
        out = code.offset(code.array(0), row * width + offset + start, word)
        _move(code, word, out, code.offset(code.array(1), row * count + start, word), length)


# ----- padding -----


@packed
def _pad(
    inputs: Specs, outputs: Specs, widths: tuple[tuple[int, int, int], ...]
) -> Prepared | None:
    x, out = inputs[0], outputs[0]
    word = _word(x)
    if word is None:
        return None
    if not out.size:
        return native(())
    dims = list(zip(x.shape, widths, strict=True))
    # Behind the last dimension that is padded, elements stay side by side.
    unit = 1
    while dims and dims[-1][1] == (0, 0, 0):
        unit *= dims.pop()[0]
    count, low, high, step = unit, 0, 0, 1
    if dims and (unit == 1 or not dims[-1][1][2]):
        size, (before, after, gap) = dims.pop()
        count, low, high, step = size * unit, before * unit, after * unit, gap + 1
    outer = [(n, before, after, gap + 1) for n, (before, after, gap) in dims]
    made = function(("pad", word, len(outer), step > 1), _padding(word, len(outer), step > 1))
    whole = low + high + (count - 1) * step + 1 if count else low + high
    shape = [b + a + (n - 1) * s + 1 if n else b + a for n, b, a, s in outer]
    own = contiguous_strides(tuple([n for n, *_ in outer]))
    sizes = (
        count, low, whole, step, *shape, *[n for n, *_ in outer], *[b for _, b, *_ in outer],
        *[s for *_, s in outer], *own,
    )  # fmt: skip
    return native([Call(made, (0, 1, 2), sizes, prod(shape), _cost(word, whole))])


def _padding(word: str, outer: int, apart: bool) -> Callable[[Code], None]:
    """Writes `out` from `x, value`. Items are rows of `out`."""

    def write(code: Code) -> None:
        count, low, whole, step = (code.size(i) for i in range(4))
        shape, sizes, before, steps, own = (
            [code.size(4 + k * outer + i) for i in range(outer)] for k in range(5)
        )
        value = code.load(code.array(2), 0, word)
        # Each index moves by one along its own dimension.
        alone = [[code.number(int(i == k)) for i in range(outer)] for k in range(outer)]
        with rows(code, code.begin, code.end, shape, alone) as (item, indices):
            out = code.offset(code.array(0), item * whole, word)
            inside, row = code.number(1, "bool"), code.number(0)
            for index, n, b, s, o in zip(indices, sizes, before, steps, own, strict=True):
                apart_from = index - b
                place = apart_from // s
                inside = inside & (apart_from >= 0) & (place < n) & (place * s).equals(apart_from)
                row = row + place * o
            with code.either(inside) as (then, otherwise):
                with then:
                    x = code.offset(code.array(1), row * count, word)
                    if apart:
                        fill(code, out, whole, value)
                        with code.loop(0, count) as i:
                            code.store(code.load(x, i, word), out, low + i * step)
                    else:
                        fill(code, out, low, value)
                        _move(code, word, code.offset(out, low, word), x, count)
                        end = low + count
                        fill(code, code.offset(out, end, word), whole - end, value)
                with otherwise:
                    fill(code, out, whole, value)

    return write


# ----- blocks at places that only the run knows -----


@packed
def _dynamic_slice(inputs: Specs, outputs: Specs, sizes: Ints) -> Prepared | None:
    x, starts = inputs
    call = _block(x, sizes, starts, (0, 1, 2), inside=False)
    return None if call is None else native([call])


@packed
def _dynamic_update_slice(inputs: Specs, outputs: Specs) -> Prepared | None:
    x, update, starts = inputs
    call = _block(x, update.shape, starts, (0, 2, 3), inside=True)
    first = copy(x, source=1, target=0)
    if call is None or first is None:
        return None
    return native([first, call], overwrites=[(0, 0)])


def _block(x: Spec, sizes: Ints, starts: Spec, arrays: Ints, inside: bool) -> Call | None:
    """The call that copies a block of x, or a block into x.

    Args:
        x: the larger array.
        sizes: of the block.
        starts: where it begins.
        arrays: places of the target, the source and `starts`.
        inside: whether the block is copied into x.
    """
    word = _word(x)
    if word is None or not prod(sizes) or not sizes or starts.dtype not in ("int32", "int64"):
        return None
    rank, own = len(sizes), contiguous_strides(x.shape)
    # From this dimension on a block's elements lie side by side.
    last = max([i for i in range(rank) if sizes[i] != x.shape[i]], default=0)
    key = (word, starts.dtype, rank, last, inside)
    made = function(("block", *key), lambda code: _write_block(code, *key))
    limits = [n - size for n, size in zip(x.shape, sizes, strict=True)]
    told = (prod(sizes[last:]), *limits, *own, *sizes[:last])
    return Call(made, arrays, told, prod(sizes[:last]), _cost(word, prod(sizes[last:])))


def _write_block(code: Code, word: str, dtype: str, rank: int, last: int, inside: bool) -> None:
    """Writes `out` from `x, starts`. Items are runs of elements that lie side by side."""
    count = code.size(0)
    limits, own = ([code.size(1 + k * rank + i) for i in range(rank)] for k in range(2))
    shape = [code.size(1 + 2 * rank + i) for i in range(last)]
    base = code.number(0)
    for i, (limit, step) in enumerate(zip(limits, own, strict=True)):
        start = code.load(code.array(2), i, dtype).cast("int64")
        # A block that would stick out is moved inside.
        start = code.select(start > limit, limit, start)
        base = base + code.select(start < 0, code.number(0), start) * step
    with rows(code, code.begin, code.end, shape, [own[:last]]) as (item, (offset,)):
        large, small = base + offset, item * count
        target, source = (large, small) if inside else (small, large)
        out, x = code.offset(code.array(0), target, word), code.offset(code.array(1), source, word)
        _move(code, word, out, x, count)


# ----- copies and constants -----


def _reshape(inputs: Specs, outputs: Specs, **params: Any) -> Prepared | None:
    call = copy(inputs[0], source=1, target=0)
    return None if call is None else native([call])


def _full(inputs: Specs, outputs: Specs, shape: Ints, value: Any, dtype: str) -> Prepared | None:
    (out,) = outputs
    word = _word(out)
    if word is None:
        return None
    bits = int(np.full((), value, numpy_dtype(dtype)).view(word.replace("u", "")))
    made = function(("full", word), lambda code: _write_full(code, word))
    items = -(-out.size // _RUN)
    return native([Call(made, (0,), (out.size, bits), items, _cost(word, _RUN))])


def _write_full(code: Code, word: str) -> None:
    """Writes `out`. Items are runs of elements."""
    count, start = code.size(0), code.begin * _RUN
    stop = code.end * _RUN
    stop = code.select(stop < count, stop, count)
    fill(code, code.offset(code.array(0), start, word), stop - start, code.size(1).cast(word))


PREPARE: dict[str, Prepare] = {
    "reshape": _reshape,
    "concatenate": _concatenate,
    "pad": _pad,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "full": _full,
}
