"""Gathering rows of a table, and combining rows into a table.

Indices that are out of range are taken as 0 and noted; after the kernel an error is raised. Rows
are combined in the order of the indices, each item doing some columns of all: what a place gets
does not depend on the threads.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.program import Ints, Prepared, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.target import host
from kbackend_numba.codegen.value import Type, Value
from kbackend_numba.codegen.vectors import each_vector
from kbackend_numba.kernels.copying import WORDS, copy, packed
from kbackend_numba.native import Call, Check, Prepare, native
from kbackend_numpy.kernels.indexing import fault

Specs = tuple[Spec, ...]

# Nanoseconds for an index, and for a byte of its row.
_INDEX, _BYTE = 3.0, 0.05
# Items that columns are cut into, at most.
_PARTS = 16

_INDICES = frozenset(("int32", "int64"))
_NUMBERS = frozenset(("float32", "float64", "int32", "int64"))


class _Places:
    """Rows of a table that indices name.

    Sizes that a call brings from position 0 on: elements of a row, and sizes of the indexed
    dimensions.

    Args:
        code: where to write.
        dtypes: of the indices, which are the arrays from `first` on, followed by that of the note.
        first: place of the first of them.
    """

    def __init__(self, code: Code, dtypes: tuple[str, ...], first: int) -> None:
        self._code, self._dtypes, self._first = code, dtypes, first
        self.width = code.size(0)
        self._sizes = [code.size(1 + i) for i in range(len(dtypes))]

    def row(self, number: Value) -> Value:
        """Where the row begins that index `number` names."""
        code, place = self._code, self._code.number(0)
        for i, (dtype, size) in enumerate(zip(self._dtypes, self._sizes, strict=True)):
            index = code.load(code.array(self._first + i), number, dtype).cast("int64")
            index = code.select(index < 0, index + size, index)
            wrong = (index < 0) | (index >= size)
            with code.when(wrong):
                code.store(code.number(1), code.array(self._first + len(self._dtypes)), 0)
            place = place * size + code.select(wrong, code.number(0), index)
        return place * self.width


def _leading(x: Spec, indices: Specs, axes: Ints) -> bool:
    """Whether the indexed dimensions come first, so that they are one dimension of rows."""
    alike = all(i.shape == indices[0].shape and i.dtype in _INDICES for i in indices)
    return alike and axes == tuple(range(len(axes))) and x.size > 0 and indices[0].size > 0


def _noted(shape: Ints, axes: Ints, note: int, indices: Ints) -> Check:
    """Raises an error if an index was out of range."""

    def look(note: Any, *given: Any) -> None:
        if note[0]:
            error = fault(shape, given, axes)
            if error is not None:
                raise error

    return Check(look, (note, *indices))


def _cleared(note: int) -> Call:
    """The call that begins a note."""

    def write(code: Code) -> None:
        code.store(code.number(0), code.array(0), 0)

    return Call(function(("clear note",), write), (note,), ())


# ----- gathering -----


@packed
def _gather(inputs: Specs, outputs: Specs, axes: Ints) -> Prepared | None:
    x, *indices = inputs
    word = WORDS.get(numpy_dtype(x.dtype).itemsize)
    if word is None or not _leading(x, tuple(indices), axes):
        return None
    k = len(axes)
    dtypes, width = tuple([i.dtype for i in indices]), prod(x.shape[k:])
    made = function(("gather", word, dtypes, width == 1), _gathering(word, dtypes, width == 1))
    note, given = 2 + k, tuple(range(2, 2 + k))
    sizes = (width, *x.shape[:k])
    cost = _INDEX + width * Type(word).bits / 8 * _BYTE
    call = Call(made, (0, 1, *given, note), sizes, indices[0].size, cost)
    return native(
        [_cleared(note), call], [Spec((1,), "int64")], check=_noted(x.shape, axes, note, given)
    )


def _gathering(word: str, dtypes: tuple[str, ...], single: bool) -> Callable[[Code], None]:
    """Writes `out` from `x, *indices`. Items are indices, of single elements or of rows."""

    def write(code: Code) -> None:
        places, lanes = _Places(code, dtypes, 2), code.target.lanes(Type(word).bits // 8)
        out, x = code.array(0), code.array(1)
        with code.loop(code.begin, code.end) as number:
            source, target = places.row(number), number * places.width

            def vector(at: Value, mask: Value | None) -> None:
                found = code.load(x, source + at, word, lanes, mask)
                code.store(found, out, target + at, mask)

            if single:
                code.store(code.load(x, source, word), out, number)
            else:
                each_vector(code, places.width, lanes, vector)

    return write


# ----- scattering -----


@packed
def _scatter(inputs: Specs, outputs: Specs, axes: Ints, mode: str) -> Prepared | None:
    x, updates, *indices = inputs
    k = len(axes)
    first = copy(x, source=1, target=0)
    dtype = WORDS.get(numpy_dtype(x.dtype).itemsize) if mode == "set" else x.dtype
    if dtype is None or (mode != "set" and dtype not in _NUMBERS):
        return None
    if first is None or not _leading(x, tuple(indices), axes):
        return None
    note, given = 3 + k, tuple(range(3, 3 + k))
    calls = [first, _cleared(note)]
    count, width = indices[0].size, prod(x.shape[k:])
    if width:
        lanes = host().lanes(Type(dtype).bits // 8)
        parts = min(_PARTS, -(-width // lanes))
        span = -(-width // (parts * lanes)) * lanes if parts > 1 else width
        key = (dtype, tuple([i.dtype for i in indices]), mode, width == 1)
        made = function(("scatter", *key), _scattering(*key))
        sizes = (width, *x.shape[:k], count, span)
        cost = count * (_INDEX + span * Type(dtype).bits / 8 * _BYTE)
        calls.append(Call(made, (0, 2, *given, note), sizes, -(-width // span), cost))
    check = _noted(x.shape, axes, note, given)
    return native(calls, [Spec((1,), "int64")], [(0, 0)], check)


def _scattering(
    dtype: str, indices: tuple[str, ...], mode: str, single: bool
) -> Callable[[Code], None]:
    """Writes `out`, with `updates, *indices`. Items are some columns of all rows."""

    def write(code: Code) -> None:
        places, lanes = _Places(code, indices, 2), code.target.lanes(Type(dtype).bits // 8)
        count, span = (code.size(1 + len(indices) + i) for i in range(2))
        out, updates = code.array(0), code.array(1)
        combine: dict[str, Callable[[Value, Value], Value]] = {
            "add": lambda a, b: a + b,
            "mul": lambda a, b: a * b,
            "max": code.maximum,
            "min": code.minimum,
            "set": lambda a, b: b,
        }
        with code.loop(code.begin, code.end) as item, code.loop(0, count) as number:
            column = item * span
            target, source = places.row(number) + column, number * places.width + column

            def vector(at: Value, mask: Value | None, width: int = lanes) -> None:
                new = code.load(updates, source + at, dtype, width, mask)
                old = code.load(out, target + at, dtype, width, mask)
                code.store(combine[mode](old, new), out, target + at, mask)

            if single:
                vector(code.number(0), None, 0)
            else:
                left = places.width - column
                each_vector(code, code.select(left < span, left, span), lanes, vector)

    return write


PREPARE: dict[str, Prepare] = {"gather": _gather, "scatter": _scatter}
