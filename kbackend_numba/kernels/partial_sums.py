"""Sums over the rows of a matrix, by groups of rows.

Each group is summed by itself, on any thread, into memory of its own; then the groups are added in
their order. How many rows a group has does not depend on the threads, so neither do the sums.
"""

from __future__ import annotations

from typing import NamedTuple

from kbackend.engine.program import Ints, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.value import Type, Value
from kbackend_numba.codegen.vectors import each_vector
from kbackend_numba.native import Call

# Elements and rows that a group has at least, and groups that there are at most.
_ELEMENTS, _ROWS, _MOST = 8192, 16, 128
# Columns that are added up as one item.
_SPAN = 256


class Groups(NamedTuple):
    """Rows in groups.

    Attributes:
        size: rows of a group; the last one may have fewer.
        number: how many groups there are.
    """

    size: int
    number: int

    def partial(self, terms: int, columns: int, dtype: str) -> Spec:
        """Memory for the sums of the groups."""
        return Spec((self.number, terms, columns), dtype)


def groups_of(rows: int, columns: int) -> Groups:
    """How the rows of a matrix are grouped."""
    size = max(_ROWS, -(-_ELEMENTS // columns), -(-rows // _MOST))
    return Groups(size, -(-rows // size))


def rows_of_group(code: Code, group: Value, size: Value, rows: Value) -> tuple[Value, Value]:
    """The first row of a group, and that behind its last."""
    first = group * size
    stop = first + size
    return first, code.select(stop < rows, stop, rows)


def add_groups(arrays: Ints, term: int, terms: int, columns: int, count: int, dtype: str) -> Call:
    """The call that adds one of the groups' terms.

    Args:
        arrays: places of the result and of the groups' sums.
        term: which of the terms.
        terms: how many there are.
        columns: elements of a sum.
        count: how many groups there are.
        dtype: of the sums.
    """
    made = function(("add groups", dtype), lambda code: _write(code, dtype))
    cost = 20.0 + 0.1 * count * min(columns, _SPAN)
    return Call(made, arrays, (columns, count, term, terms), -(-columns // _SPAN), cost)


def _write(code: Code, dtype: str) -> None:
    lanes = code.target.lanes(Type(dtype).bits // 8)
    columns, count, term, terms = (code.size(i) for i in range(4))
    out, partial = code.array(0), code.array(1)
    first, stop = code.begin * _SPAN, code.end * _SPAN
    stop = code.select(stop < columns, stop, columns)

    def vector(at: Value, mask: Value | None) -> None:
        total = code.var(code.number(0.0, dtype, lanes))
        with code.loop(0, count) as group:
            place = (group * terms + term) * columns + first + at
            total.set(total.value + code.load(partial, place, dtype, lanes, mask))
        code.store(total.value, out, first + at, mask)

    each_vector(code, stop - first, lanes, vector)
