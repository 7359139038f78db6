"""Regions whose reductions are results and nothing else: sums over leading dimensions, totals.

The elements that make one number are cut into groups. Each group is reduced by itself, on any
thread, into memory of its own; then the groups' results are combined in their order. How groups are
cut depends on shapes alone, so no result depends on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from kbackend.engine.program import Prepared, Spec
from kbackend_numba.codegen import reductions
from kbackend_numba.codegen.code import Code, Var
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.nest import KEPT, ONE, Odometer, Span, rows, spans
from kbackend_numba.codegen.target import host
from kbackend_numba.codegen.value import Address, Type, Value
from kbackend_numba.codegen.vectors import each_vector
from kbackend_numba.kernels.region_arrays import Arrays, Layout
from kbackend_numba.kernels.region_body import Body, Operation, evaluate
from kbackend_numba.kernels.region_elements import cost_of_elements, overwrites, turn_of
from kbackend_numba.native import Call, native

# Elements of a group, and numbers that all groups' results of one reduction may be.
_GROUP, _PARTIAL = 1 << 15, 1 << 16
# Rows, or elements of a row, that are combined before they are added to what came before them.
_CHUNK = 128
# Nanoseconds for an item, and for what is done of a row at once.
_PER_ITEM, _PER_LINE = 20.0, 2.0
# Vectors of a block of columns, at most.
_WIDEST = 4
# Results that are combined as one item.
_SPAN = 256
# Spans that a turn of a loop does, each for a sum of its own.
_TURN = 4


class Groups(NamedTuple):
    """How the elements of one number are cut.

    Attributes:
        number: of groups.
        rows: of a group; where rows are cut, elements of a row.
        cut: whether a group is a part of a row.
    """

    number: int
    rows: int
    cut: bool


def prepare(body: Body, layout: Layout) -> Prepared:
    """The kernel of a region.

    Args:
        body: what it computes.
        layout: how its inputs lie.
    """
    shape, reduced = layout.shape, layout.reduced
    inner = len(shape) - 1
    outer = tuple([axis for axis in range(inner) if axis not in reduced])
    across = tuple([axis for axis in reduced if axis != inner])
    by_columns = inner not in reduced
    results = prod(dim for axis, dim in enumerate(shape) if axis not in reduced)
    groups = _groups(layout, by_columns, results)
    own = [i for i, v in enumerate(body.outputs) if body.operation(v).reduces]
    made_of = [body.operation(body.outputs[i]) for i in own]
    count = len(body.outputs)
    inputs = [count + i for i in body.arrays]
    partial = range(count + len(body.inputs), count + len(body.inputs) + len(own))
    sizes = [*layout.sizes(body, [outer, across]), groups.number, groups.rows, results]
    name, key = "region sums", (*body, len(outer), len(across), by_columns, groups.cut)
    length = shape[-1]
    if by_columns:
        width = _width(body, length)
        made = function(
            (name, *key, width), lambda code: _columns(code, body, len(outer), len(across), *width)
        )
    else:
        made = function(
            (name, *key), lambda code: _rows(code, body, len(outer), len(across), groups.cut)
        )
    items = prod(shape[axis] for axis in outer) * groups.number
    lines = prod(shape[:-1]) * (-(-length // (_WIDEST * host().lanes(body.itemsize))))
    cost = _PER_ITEM + lines / items * _PER_LINE
    cost += prod(shape) / items * cost_of_elements(body, prod(shape))
    if groups.number == 1:
        call = Call(made, (*range(count), *inputs, *own), tuple(sizes), items, cost)
        return native((call,), (), overwrites(body))
    arrays = (*range(count), *inputs, *partial)
    call = Call(made, arrays, tuple(sizes), items, cost)
    scratch = [Spec((groups.number, results), op.dtype) for op in made_of]
    end = ends(made_of, own, partial, results, groups.number)
    return native((call, end), scratch, overwrites(body))


def ends(
    made_of: Sequence[Operation],
    own: Sequence[int],
    partial: Sequence[int],
    results: int,
    groups: int,
) -> Call:
    """The call that combines the groups' results, in their order.

    Args:
        made_of: the reductions.
        own: where their results are, among the arrays of the kernel.
        partial: where the groups' results are.
        results: how many numbers each reduction makes.
        groups: how many groups there are.
    """
    kinds = tuple([(op.name, op.dtype) for op in made_of])
    return Call(
        function(("region ends", kinds), lambda code: _combine(code, kinds)),
        (*own, *partial),
        (results, groups),
        -(-results // _SPAN),
        30.0 + 0.1 * groups * min(results, _SPAN) * len(kinds),
    )


def _groups(layout: Layout, by_columns: bool, results: int) -> Groups:
    shape = layout.shape
    length = shape[-1]
    lines = prod(shape[axis] for axis in layout.reduced if axis != len(shape) - 1)
    most = max(1, _PARTIAL // results)
    if not by_columns and length >= 2 * _GROUP:
        # Each row is cut by itself.
        parts = min(-(-length // _GROUP), max(1, most // lines))
        if parts > 1:
            return Groups(lines * parts, -(-length // parts), True)
    size = max(-(-_GROUP // length), -(-lines // most))
    return Groups(-(-lines // size), size, False)


def _width(body: Body, length: int) -> tuple[int, bool]:
    """Vectors of a block of columns, and whether blocks come out even."""
    lanes = host().lanes(body.itemsize)
    widest = _WIDEST if turn_of(body) else 2
    vectors = -(-length // lanes)
    if length % lanes:
        return min(vectors, widest), False
    return next(n for n in range(widest, 0, -1) if vectors % n == 0), True


# ----- the code -----


class _Item:
    """What is common to the two kinds of loops: the item's place, elements, results."""

    def __init__(self, code: Code, body: Body, outer: int, across: int) -> None:
        self.code, self.body = code, body
        self.arrays = Arrays(code, body, (outer, across))
        self.lanes = body.lanes(code)
        self.groups, self.size, self.results = (self.arrays.next() for _ in range(3))
        self.literals = self.arrays.literals()
        self.made_of = [op for op in map(body.operation, body.outputs) if op.reduces]
        self.inputs = [op.inputs[0] for op in self.made_of]
        self.names = [op.name for op in self.made_of]
        place = len(body.outputs) + len(body.arrays)
        self.partial = [code.array(place + i) for i in range(len(self.made_of))]
        self.whole = [v for v in dict.fromkeys(body.outputs) if not body.operation(v).kept]
        self.lines = code.number(1)
        for dim in self.arrays.dims[1]:
            self.lines = self.lines * dim

    def outer(self, number: Value) -> list[Value]:
        """Where what is reduced for the first time begins, by the number of the outer index."""
        return Odometer(self.code, number, self.arrays.dims[0], self.arrays.strides[0]).offsets

    def new_sums(self) -> list[Var]:
        """A variable for each reduction."""
        code, lanes = self.code, self.lanes
        return [code.var(reductions.start(code, op.name, op.dtype, lanes)) for op in self.made_of]

    def clear(self, sums: Sequence[Var]) -> None:
        """Makes sums begin anew."""
        for name, total in zip(self.names, sums, strict=True):
            total.set(reductions.start(self.code, name, total.type.dtype, self.lanes))

    def collect(self, totals: Sequence[Var], sums: Sequence[Sequence[Var]]) -> None:
        """Adds sums to the totals."""
        for i, (name, total) in enumerate(zip(self.names, totals, strict=True)):
            parts = [total.value, *[column[i].value for column in sums]]
            total.set(reductions.joined(self.code, name, parts))

    def take(
        self,
        span: Span,
        offsets: Sequence[Value],
        fixed: dict[int, Value],
        sums: Sequence[Var],
        masked: bool,
    ) -> None:
        """Does a span: writes what is whole, and adds to the sums."""
        code = self.code
        memo = dict(fixed)
        values = [
            code.splat(value, self.lanes)
            for value in evaluate(
                code,
                self.body,
                [*self.inputs, *self.whole],
                memo,
                lambda i: self.arrays.load(i, span, offsets),
            )
        ]
        new = [
            reductions.only(code, name, value, span.mask if masked else None)
            for name, value in zip(self.names, values, strict=False)
        ]
        found = dict(zip(self.whole, values[len(self.inputs) :], strict=True))
        stored = [
            (found[v], out)
            for v, out in zip(self.body.outputs, self.arrays.outputs, strict=True)
            if v in found
        ]
        if stored:
            span.store(code, stored, offsets[0] + span.at)
        for name, total, value in zip(self.names, sums, new, strict=True):
            total.set(reductions.REDUCTIONS[name].combine(code, total.value, value))


def _columns(code: Code, body: Body, outer: int, across: int, vectors: int, even: bool) -> None:
    """Reduces rows to one row: items are groups of rows."""
    item = _Item(code, body, outer, across)
    arrays, lanes, length = item.arrays, item.lanes, item.arrays.length
    with code.loop(code.begin, code.end) as number:
        index = number // item.groups
        group = number - index * item.groups
        base = item.outer(index)
        first = group * item.size
        last = code.minimum(first + item.size, item.lines)
        with code.loop(0, length, vectors * lanes) as at:
            line = [
                Span(
                    at + i * lanes,
                    lanes,
                    None if even else code.first(length - at - i * lanes, lanes),
                )
                for i in range(vectors)
            ]
            totals, sums = [[item.new_sums() for _ in line] for _ in range(2)]
            with code.loop(first, last, _CHUNK) as start:
                stop = code.minimum(start + _CHUNK, last)
                with rows(code, start, stop, arrays.dims[1], arrays.strides[1]) as (_, moved):
                    offsets = [a + b for a, b in zip(base, moved, strict=True)]
                    fixed = item.literals | arrays.fixed(offsets, ONE)
                    for span, own in zip(line, sums, strict=True):
                        item.take(span, offsets, fixed, own, False)
                for found, own in zip(totals, sums, strict=True):
                    item.collect(found, [own])
                    item.clear(own)
            place = group * item.results + index * length
            for span, own in zip(line, totals, strict=True):
                for total, out in zip(own, item.partial, strict=True):
                    code.store(total.value, out, place + span.at, span.mask)


def _rows(code: Code, body: Body, outer: int, across: int, cut: bool) -> None:
    """Reduces rows to one number: items are groups of rows, or parts of them."""
    item = _Item(code, body, outer, across)
    arrays = item.arrays
    turn = turn_of(body) and _TURN
    with code.loop(code.begin, code.end) as number:
        index = number // item.groups
        group = number - index * item.groups
        base = item.outer(index)
        kept = item.literals | arrays.fixed(base, KEPT)
        totals, sums = item.new_sums(), [item.new_sums() for _ in range(max(turn, 1))]
        if cut:
            parts = item.groups // item.lines
            first = group // parts
            last = first + 1
            start = (group - first * parts) * item.size
            stop = code.minimum(start + item.size, arrays.length)
        else:
            first = group * item.size
            last = code.minimum(first + item.size, item.lines)
            start, stop = code.number(0), arrays.length
        with rows(code, first, last, arrays.dims[1], arrays.strides[1]) as (_, moved):
            offsets = [a + b for a, b in zip(base, moved, strict=True)]
            fixed = kept | arrays.fixed(offsets, ONE)

            def vector(
                span: Span,
                position: int,
                offsets: Sequence[Value] = offsets,
                fixed: dict[int, Value] = fixed,
                sums: Sequence[Sequence[Var]] = sums,
            ) -> None:
                item.take(span, offsets, fixed, sums[position], True)

            with code.loop(start, stop, _CHUNK * 64) as at:
                end = code.minimum(at + _CHUNK * 64, stop)
                spans(code, at, end, item.lanes, vector, turn)
                item.collect(totals, sums)
                for own in sums:
                    item.clear(own)
        place = group * item.results + index
        for name, total, out in zip(item.names, totals, item.partial, strict=True):
            code.store(reductions.across(code, name, total.value), out, place)


def _combine(code: Code, ends: Sequence[tuple[str, str]]) -> None:
    """Combines the groups' results: arrays are the results, and what the groups have made."""
    results, groups = code.size(0), code.size(1)
    first = code.begin * _SPAN
    stop = code.minimum(code.end * _SPAN, results)
    for i, (name, dtype) in enumerate(ends):
        out, partial = code.array(i), code.array(len(ends) + i)
        _combine_one(code, name, dtype, (out, partial), (first, stop, results, groups))


def _combine_one(
    code: Code,
    name: str,
    dtype: str,
    arrays: tuple[Address, Address],
    sizes: tuple[Value, Value, Value, Value],
) -> None:
    out, partial = arrays
    first, stop, results, groups = sizes
    combine = reductions.REDUCTIONS[name].combine
    lanes = code.target.lanes(Type(dtype).bits // 8)

    def vector(at: Value, mask: Value | None) -> None:
        total, some = [code.var(reductions.start(code, name, dtype, lanes)) for _ in range(2)]
        with code.loop(0, groups, _CHUNK) as start:
            end = code.minimum(start + _CHUNK, groups)
            with code.loop(start, end) as group:
                new = code.load(partial, group * results + first + at, dtype, lanes, mask)
                some.set(combine(code, some.value, new))
            total.set(combine(code, total.value, some.value))
            some.set(reductions.start(code, name, dtype, lanes))
        code.store(total.value, out, first + at, mask)

    each_vector(code, stop - first, lanes, vector)
