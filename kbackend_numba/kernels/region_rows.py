"""Regions that reduce rows: one row after the other, each from end to end.

A short row stays in registers. A long one is gone through in several passes; see `region_passes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from kbackend.engine.program import Prepared, Spec
from kbackend_numba import threads
from kbackend_numba.codegen import reductions
from kbackend_numba.codegen.code import Code, Var
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.nest import KEPT, ONE, Span, rows, spans
from kbackend_numba.codegen.target import host
from kbackend_numba.codegen.value import Value
from kbackend_numba.kernels.region_arrays import Arrays, Layout
from kbackend_numba.kernels.region_body import Body, Operation, evaluate
from kbackend_numba.kernels.region_elements import cost_of_elements, overwrites, turn_of
from kbackend_numba.kernels.region_passes import Pass, passes
from kbackend_numba.native import Call, native

# Vectors of a short row, and operations on vectors that are written for one.
_SHORT, _WRITTEN = 8, 96
# Nanoseconds for a row beside what its elements take, and for what it is reduced to.
_PER_ROW, _PER_RESULT = 3.0, 3.0
# Spans that a turn of a loop does where a body is short: each adds to a sum of its own.
_TURN = 4
# Elements that are combined before they are added to what was combined before them.
_CHUNK = 8192


def prepare(body: Body, layout: Layout) -> Prepared:
    """The kernel of a region that reduces its last dimensions.

    Args:
        body: what it computes.
        layout: how its inputs lie.
    """
    shape = layout.shape
    first = layout.reduced[0]
    length, across = shape[-1], len(shape) - 1 - first
    lanes = host().lanes(body.itemsize)
    vectors = -(-length // lanes)
    written = vectors * sum(not op.kept or op.reduces for op in body.operations)
    short = not across and vectors <= _SHORT and written <= _WRITTEN
    outer = tuple(range(first))
    sizes = layout.sizes(body, [outer, tuple(range(first, len(shape) - 1))])
    count = len(body.outputs)
    arrays = (*range(count), *[count + i for i in body.arrays])
    found = passes(body)
    elements = prod(shape[first:])
    results = sum(op.kept for op in body.operations)
    cost = _PER_ROW + _PER_RESULT * results + elements * cost_of_elements(body, prod(shape))
    if short:
        even = length % lanes == 0
        made = function(
            ("region rows", *body, first, vectors, even),
            lambda code: _short(code, body, first, vectors, even),
        )
        call = Call(made, arrays, tuple(sizes), prod(shape[:first]), cost)
        return native((call,), overwrites=overwrites(body))
    aside = [v for one in found for v in one.aside]
    made = function(
        ("region long rows", *body, first, across),
        lambda code: _Long(code, body, first, across).write(),
    )
    scratch = [Spec((threads.count(), elements), body.of(v).dtype) for v in aside]
    last = count + len(body.inputs)
    arrays = (*arrays, *range(last, last + len(aside)))
    call = Call(made, arrays, tuple(sizes), prod(shape[:first]), cost)
    return native((call,), scratch, _safe(body, found))


def _safe(body: Body, found: list[Pass]) -> list[tuple[int, int]]:
    """Outputs that are written when an input is read for the last time, or later."""
    last = {i: number for number, one in enumerate(found) for i in one.inputs}
    when = {v: number for number, one in enumerate(found) for v in one.outputs}
    return [
        (i, output)
        for i, output in overwrites(body)
        if last.get(i, 0) <= when.get(body.outputs[output], -1)
    ]


def _scalar(code: Code, op: Operation, kept: dict[int, Value]) -> Value:
    """The result of an operation on what belongs to a whole row."""
    return op.write(code, [kept[i] for i in op.inputs])


def _store_kept(code: Code, body: Body, arrays: Arrays, row: Value, kept: dict[int, Value]) -> None:
    for value, out in zip(body.outputs, arrays.outputs, strict=True):
        if value in kept:
            code.store(kept[value], out, row)


# ----- short rows -----


def _short(code: Code, body: Body, outer: int, vectors: int, even: bool) -> None:
    arrays, lanes, count = Arrays(code, body, (outer, 0)), body.lanes(code), len(body.inputs)
    literals = arrays.literals()
    mask = None if even else code.first(arrays.length - (vectors - 1) * lanes, lanes)
    line = [
        Span(code.number(i * lanes), lanes, mask if i == vectors - 1 else None)
        for i in range(vectors)
    ]
    with rows(code, code.begin, code.end, arrays.dims[0], arrays.strides[0]) as (row, offsets):
        kept = arrays.fixed(offsets, KEPT)
        found = [literals | kept for _ in line]
        scalars = literals | kept

        def value(wanted: int, span: Span, here: dict[int, Value]) -> Value:
            made = evaluate(code, body, [wanted], here, lambda i: arrays.load(i, span, offsets))
            return code.splat(made[0], lanes)

        def values(wanted: int) -> list[Value]:
            return [value(wanted, span, here) for span, here in zip(line, found, strict=True)]

        for number, op in enumerate(body.operations, count):
            if not op.kept:
                continue
            if op.reduces:
                parts = [
                    reductions.only(code, op.name, value, span.mask)
                    for span, value in zip(line, values(op.inputs[0]), strict=True)
                ]
                one = reductions.joined(code, op.name, parts)
                result = reductions.across(code, op.name, one)
            else:
                result = _scalar(code, op, scalars)
            for memo in (scalars, *found):
                memo[number] = result
        # What is written may be what is read: all is computed first.
        whole = [
            (out, values(value))
            for value, out in zip(body.outputs, arrays.outputs, strict=True)
            if value not in scalars
        ]
        for out, results in whole:
            for span, result in zip(line, results, strict=True):
                span.store(code, [(result, out)], offsets[0] + span.at)
        _store_kept(code, body, arrays, row, scalars)


# ----- long rows -----


class _Long:
    """Writes the function that goes through long rows."""

    def __init__(self, code: Code, body: Body, outer: int, across: int) -> None:
        self.code, self.body = code, body
        self.arrays = Arrays(code, body, (outer, across))
        self.lanes = body.lanes(code)
        self.passes = passes(body)
        self.literals = self.arrays.literals()
        turn = turn_of(body)
        self.turn = turn and _TURN
        self.aside: dict[int, int] = {}
        place = len(body.outputs) + len(body.arrays)
        for one in self.passes:
            for value in one.aside:
                self.aside[value] = place + len(self.aside)

    def write(self) -> None:
        """Writes it."""
        code, arrays = self.code, self.arrays
        self.size = arrays.length
        for dim in arrays.dims[1]:
            self.size = self.size * dim
        with rows(code, code.begin, code.end, arrays.dims[0], arrays.strides[0]) as (row, offsets):
            kept = self.literals | arrays.fixed(offsets, KEPT)
            for one in self.passes:
                self._pass(one, offsets, kept)
            _store_kept(code, self.body, arrays, row, kept)

    def _pass(self, one: Pass, offsets: Sequence[Value], kept: dict[int, Value]) -> None:
        code, arrays, body = self.code, self.arrays, self.body
        for value in one.kept:
            kept[value] = _scalar(code, body.operation(value), kept)
        if not (one.reductions or one.outputs or one.aside):
            return
        totals = [code.var(self._start(value)) for value in one.reductions]
        turns = range(max(self.turn, 1))
        sums = [[code.var(self._start(value)) for value in one.reductions] for _ in turns]
        rest = arrays.dims[1]
        lines = code.number(1)
        for dim in rest:
            lines = lines * dim
        with rows(code, code.number(0), lines, rest, arrays.strides[1]) as (line, moved):
            here = [a + b for a, b in zip(offsets, moved, strict=True)]
            with code.loop(0, arrays.length, _CHUNK) as at:
                stop = code.minimum(at + _CHUNK, arrays.length)
                self._chunk(one, line, here, kept, at, stop, sums)
                for i, value in enumerate(one.reductions):
                    self._collect(value, totals[i], [column[i] for column in sums])
        for value, total in zip(one.reductions, totals, strict=True):
            name = body.operation(value).name
            kept[value] = reductions.across(code, name, total.value)

    def _start(self, value: int) -> Value:
        op = self.body.operation(value)
        return reductions.start(self.code, op.name, op.dtype, self.lanes)

    def _collect(self, value: int, total: Var, columns: Sequence[Var]) -> None:
        """Adds what was combined to the total."""
        name = self.body.operation(value).name
        parts = [column.value for column in columns]
        total.set(reductions.joined(self.code, name, [total.value, *parts]))
        for column in columns:
            column.set(self._start(value))

    def _chunk(
        self,
        one: Pass,
        line: Value,
        offsets: Sequence[Value],
        kept: dict[int, Value],
        start: Value,
        stop: Value,
        sums: Sequence[Sequence[Var]],
    ) -> None:
        code, arrays, body = self.code, self.arrays, self.body
        fixed = kept | arrays.fixed(offsets, ONE)
        inputs = [body.operation(v).inputs[0] for v in one.reductions]
        room = code.worker * self.size + line * arrays.length
        earlier = self.passes[: self.passes.index(one)]
        there = {v for before in earlier for v in (*before.aside, *before.outputs)}

        def vector(span: Span, number: int) -> None:
            def load(position: int) -> Value:
                if position < len(body.inputs):
                    return arrays.load(position, span, offsets)
                dtype = body.of(position).dtype
                if position in self.aside:
                    address = code.array(self.aside[position])
                    return span.load(code, address, room + span.at, dtype)
                address = arrays.outputs[body.outputs.index(position)]
                return span.load(code, address, offsets[0] + span.at, dtype)

            memo = dict(fixed)
            wanted = [*inputs, *one.outputs, *one.aside]
            values = [
                code.splat(value, self.lanes)
                for value in evaluate(code, body, wanted, memo, load, there)
            ]
            found = dict(zip(wanted, values, strict=True))
            names = [body.operation(v).name for v in one.reductions]
            new = [
                reductions.only(code, name, found[position], span.mask)
                for name, position in zip(names, inputs, strict=True)
            ]
            whole = [
                (found[v], out)
                for v, out in zip(body.outputs, arrays.outputs, strict=True)
                if v in one.outputs
            ]
            if whole:
                span.store(code, whole, offsets[0] + span.at)
            if one.aside:
                places = [(found[v], code.array(self.aside[v])) for v in one.aside]
                span.store(code, places, room + span.at)
            for name, total, value in zip(names, sums[number], new, strict=True):
                total.set(reductions.REDUCTIONS[name].combine(code, total.value, value))

        spans(code, start, stop, self.lanes, vector, self.turn)
