"""Regions without reductions: rows of elements, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from kbackend.engine.program import Prepared
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.nest import ONE, SAME, STEPS, UNROLL, Span, rows, spans
from kbackend_numba.codegen.value import Type, Value
from kbackend_numba.kernels.region_arrays import Arrays, Layout
from kbackend_numba.kernels.region_body import Body, Given, evaluate
from kbackend_numba.native import Call, native

# Elements of a block, where rows are cut.
_BLOCK = 2048
# Rows from this length on are cut, so that threads can share few of them.
_LONG = 16 * _BLOCK
# From this cost on a body is written only once.
_HEAVY = 0.3
# Nanoseconds to read or write a byte that is in a near cache, or not.
_NEAR, _FAR = 0.011, 0.033
# Bytes that fit in one.
_CACHE = 1 << 20
# Nanoseconds to begin a row.
_PER_ROW = 1.5


def turn_of(body: Body) -> int:
    """Spans that a turn of a loop does; see `codegen.nest.spans`."""
    return 0 if body.cost > _HEAVY else UNROLL


def cost_of_elements(body: Body, count: int) -> float:
    """Nanoseconds for an element, of which there are `count`."""
    moved: float = 0.0
    for i in (*body.arrays, *body.outputs):
        one = body.of(i)
        if one.lies in (SAME, STEPS) if isinstance(one, Given) else not body.operation(i).kept:
            moved += Type(one.dtype).bits / 8
    return body.cost + moved * (_NEAR if moved * count <= _CACHE else _FAR)


def overwrites(body: Body) -> list[tuple[int, int]]:
    """Every vector is read before it is written, so an output may take any input's place."""
    return [
        (i, position)
        for i in body.arrays
        for position, value in enumerate(body.outputs)
        if body.inputs[i] == Given(body.of(value).dtype, SAME) and not body.operation(value).kept
    ]


def prepare(body: Body, layout: Layout) -> Prepared:
    """The kernel of a region.

    Args:
        body: what it computes.
        layout: how its inputs lie.
    """
    shape = layout.shape
    length, outer = shape[-1], len(shape) - 1
    long = not outer or length >= _LONG
    made = function(("region", *body, outer, long), lambda code: _write(code, body, outer, long))
    blocks = -(-length // _BLOCK) if long else 1
    sizes = layout.sizes(body, [tuple(range(outer))])
    count = len(body.outputs)
    arrays = (*range(count), *[count + i for i in body.arrays])
    cost = _PER_ROW + cost_of_elements(body, prod(shape)) * min(length, _BLOCK if long else length)
    call = Call(made, arrays, tuple(sizes), prod(shape[:-1]) * blocks, cost)
    return native((call,), overwrites=overwrites(body))


def _write(code: Code, body: Body, outer: int, long: bool) -> None:
    arrays, lanes = Arrays(code, body, (outer,)), body.lanes(code)
    length = arrays.length
    literals = arrays.literals()

    def row(offsets: Sequence[Value], start: Value, stop: Value) -> None:
        fixed = literals | arrays.fixed(offsets, ONE)

        def vector(span: Span, number: int) -> None:
            values = evaluate(
                code, body, body.outputs, dict(fixed), lambda i: arrays.load(i, span, offsets)
            )
            results = [code.splat(value, lanes) for value in values]
            span.store(code, list(zip(results, arrays.outputs, strict=True)), offsets[0] + span.at)

        spans(code, start, stop, lanes, vector, turn_of(body))

    def row_number(number: Value, start: Value, stop: Value) -> None:
        with rows(code, number, number + 1, arrays.dims[0], arrays.strides[0]) as (_, offsets):
            row(offsets, start, stop)

    if not long:
        zero = code.number(0)
        with rows(code, code.begin, code.end, arrays.dims[0], arrays.strides[0]) as (_, offsets):
            row(offsets, zero, length)
    elif not outer:
        row(arrays.nowhere, code.begin * _BLOCK, code.minimum(code.end * _BLOCK, length))
    else:
        blocks = (length + (_BLOCK - 1)) // _BLOCK
        with code.loop(code.begin, code.end) as item:
            number = item // blocks
            start = (item - number * blocks) * _BLOCK
            row_number(number, start, code.minimum(start + _BLOCK, length))
