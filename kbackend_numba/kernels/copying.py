"""Copies from any layout into contiguous memory.

Dimensions that lie together in the source are joined first. What is left decides how inner loops
go: along runs of elements side by side, by blocks that are transposed in registers, or number by
number. Elements are copied as integers of their width, so that all dtypes share code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from math import prod
from typing import Any

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.program import Prepared, Spec
from kbackend.engine.strides import broadcast_strides, merge, merged_shape, merged_strides
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.nest import rows
from kbackend_numba.codegen.target import host
from kbackend_numba.codegen.value import Type, Value
from kbackend_numba.codegen.vectors import each_vector
from kbackend_numba.native import Call, Native, Prepare, native

Ints = tuple[int, ...]
Specs = tuple[Spec, ...]

# Bytes of an element -> integers as wide.
WORDS = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64"}
# Elements of a long run that are one item.
_RUN = 8192
# Nanoseconds for a byte in runs, for a number on its own, and for each run.
_BYTE, _NUMBER, _START = 0.06, 0.6, 2.0


def copy(spec: Spec, source: int, target: int) -> Call | None:
    """The call that copies an array into contiguous memory, or `None` for what has no kernel.

    Args:
        spec: of the array.
        source: its place among the arrays of the kernel.
        target: the place of the memory.
    """
    itemsize = numpy_dtype(spec.dtype).itemsize
    word = WORDS.get(itemsize)
    if word is None or not spec.size:
        return None
    shape, steps = _joined(spec)
    *outer, count = shape
    step = steps[-1]
    if step not in (0, 1) and 1 in steps[:-1]:
        across = steps.index(1)
        if min(shape[across], count) >= host().lanes(itemsize):
            return _transposing(word, shape, steps, across, (target, source))
    if len(shape) == 1 and step in (0, 1):
        made = function(("copy line", word, step), _line(word, step))
        return Call(made, (target, source), (count,), -(-count // _RUN), _RUN * itemsize * _BYTE)
    kind = step if step in (0, 1) else 2
    made = function(("copy runs", word, kind, len(outer)), _runs(word, kind, len(outer)))
    cost = _START + count * (_NUMBER if kind == 2 else itemsize * _BYTE)
    return Call(made, (target, source), (count, step, *outer, *steps[:-1]), prod(outer), cost)


def _joined(spec: Spec) -> tuple[Ints, Ints]:
    """Shape and strides with neighbouring dimensions joined where both are one run."""
    shape = spec.shape or (1,)
    strides = broadcast_strides(spec, shape)
    groups = merge(shape, [strides])
    return merged_shape(shape, len(shape), groups), merged_strides(shape, strides, groups)


def _line(word: str, step: int) -> Callable[[Code], None]:
    """Writes `out, x`: one run, or one number repeated. Items are `_RUN` elements."""

    def write(code: Code) -> None:
        lanes = code.target.lanes(Type(word).bits // 8)
        first, last = code.begin * _RUN, code.end * _RUN
        count = code.size(0)
        last = code.select(last < count, last, count)
        # What takes the place of its input is there already.
        with code.when(~code.same(code.array(0), code.array(1))):
            _run(code, word, step, lanes, first * step, first, last - first)

    return write


def _run(
    code: Code, word: str, step: int, lanes: int, source: Value, target: Value, count: Value
) -> None:
    """Copies a run of elements side by side, or repeats a number."""
    out, x = code.offset(code.array(0), target, word), code.offset(code.array(1), source, word)
    if step:
        each_vector(
            code,
            count,
            lanes,
            lambda at, mask: code.store(code.load(x, at, word, lanes, mask), out, at, mask),
        )
    else:
        value = code.splat(code.load(x, 0, word), lanes)
        each_vector(code, count, lanes, lambda at, mask: code.store(value, out, at, mask))


def _runs(word: str, kind: int, outer: int) -> Callable[[Code], None]:
    """Writes `out, x`: runs, whose elements are `kind` apart, or the given step if that is 2.
    Items are runs."""

    def write(code: Code) -> None:
        lanes = code.target.lanes(Type(word).bits // 8)
        count, step = code.size(0), code.size(1)
        sizes = [code.size(2 + i) for i in range(outer)]
        steps = [code.size(2 + outer + i) for i in range(outer)]
        with rows(code, code.begin, code.end, sizes, [steps]) as (item, (source,)):
            target = item * count
            if kind == 2:
                out, x = code.array(0), code.array(1)
                with code.loop(0, count) as i:
                    code.store(code.load(x, source + i * step, word), out, target + i)
            else:
                _run(code, word, kind, lanes, source, target, count)

    return write


# ----- transposed blocks -----


def transposed(code: Code, block: list[Value]) -> list[Value]:
    """The columns of a square block, given as many vectors as they have lanes."""
    lanes, step = len(block), 1
    while step < lanes:
        low = [j if not j & step else lanes + j - step for j in range(lanes)]
        high = [j + step if not j & step else lanes + j for j in range(lanes)]
        turned = list(block)
        for i in range(lanes):
            if not i & step:
                turned[i] = code.shuffle(block[i], block[i + step], low)
                turned[i + step] = code.shuffle(block[i], block[i + step], high)
        block, step = turned, 2 * step
    return block


def _transposing(word: str, shape: Ints, steps: Ints, across: int, arrays: Ints) -> Call:
    """The copy of an array whose elements lie side by side along another dimension than the
    last."""
    rest = [i for i in range(len(shape) - 1) if i != across]
    targets = [prod(shape[i + 1 :]) for i in range(len(shape))]
    itemsize = Type(word).bits // 8
    lanes = host().lanes(itemsize)
    blocks = -(-shape[across] // lanes)
    sizes = (
        shape[-1], steps[-1], shape[across], targets[across],
        *[shape[i] for i in rest], blocks,
        *[steps[i] for i in rest], lanes,
        *[targets[i] for i in rest], lanes * targets[across],
    )  # fmt: skip
    made = function(("copy transposed", word, len(rest)), _transpose(word, len(rest)))
    cost = _START + shape[-1] * lanes * itemsize * 2 * _BYTE
    return Call(made, arrays, sizes, prod(shape[i] for i in rest) * blocks, cost)


def _transpose(word: str, rest: int) -> Callable[[Code], None]:
    """Writes `out, x`. Items are blocks of columns, as many as a vector has lanes, in each of the
    matrices."""

    def write(code: Code) -> None:
        lanes = code.target.lanes(Type(word).bits // 8)
        count, step, columns, out_step = (code.size(i) for i in range(4))
        sizes, *steps = [
            [code.size(4 + k * (rest + 1) + i) for i in range(rest + 1)] for k in range(3)
        ]
        # The number of the block among those of its matrix counts like a place.
        steps.append([code.number(0)] * rest + [code.number(1)])
        whole = count & -lanes
        with rows(code, code.begin, code.end, sizes, steps) as (_, (source, target, number)):
            x = code.offset(code.array(1), source, word)
            out = code.offset(code.array(0), target, word)
            left = columns - number * lanes

            def single(first: Value, x: Any = x, out: Any = out, left: Value = left) -> None:
                width = code.select(left < lanes, left, code.number(lanes))
                with code.loop(0, width) as j, code.loop(first, count) as i:
                    code.store(code.load(x, i * step + j, word), out, j * out_step + i)

            with code.either(left < lanes) as (then, otherwise):
                with then:
                    single(code.number(0))
                with otherwise:
                    with code.loop(0, whole, lanes) as i:
                        block = [code.load(x, (i + k) * step, word, lanes) for k in range(lanes)]
                        for j, column in enumerate(transposed(code, block)):
                            code.store(column, out, i + out_step * j)
                    single(whole)

    return write


# ----- for other kernels -----


def _strided(spec: Spec) -> bool:
    return not spec.contiguous


def packed(prepare: Prepare, which: Callable[[Spec], bool] = _strided) -> Prepare:
    """A way to prepare kernels that have some inputs copied into contiguous scratch memory first.

    Args:
        prepare: a way that likes these inputs to be contiguous.
        which: which inputs are copied; by default all that are not contiguous.
    """

    @wraps(prepare)
    def wrapped(inputs: Specs, outputs: Specs, **params: Any) -> Prepared | None:
        strided = [i for i, spec in enumerate(inputs) if which(spec)]
        dense = tuple(
            [s._replace(strides=None) if i in strided else s for i, s in enumerate(inputs)]
        )
        made = prepare(dense, outputs, **params)
        if not strided or not isinstance(made, Native):
            return made
        first = len(outputs) + len(inputs) + len(made.scratch)
        places = {len(outputs) + i: first + k for k, i in enumerate(strided)}
        copies = [copy(inputs[i], len(outputs) + i, places[len(outputs) + i]) for i in strided]
        calls = [replace(c, arrays=tuple([places.get(a, a) for a in c.arrays])) for c in made.calls]
        if None in copies:
            return None
        return native(
            [*copies, *calls],  # type: ignore[list-item]
            (*made.scratch, *[dense[i] for i in strided]),
            [pair for pair in made.overwrites if pair[0] not in strided],
            made.check,
        )

    return wrapped
