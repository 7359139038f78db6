"""Matrices whose columns are normalised: functions over groups of their rows, and over columns.

A matrix is gone through by groups of rows, each of which leaves sums of its columns. These are
added in the order of the groups where a function over columns needs them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kbackend.engine.program import Ints, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.columns import Block, Width, each_block, width_of
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.target import host
from kbackend_numba.codegen.value import Type, Value
from kbackend_numba.codegen.vectors import each_vector
from kbackend_numba.kernels.partial_sums import Groups, groups_of, rows_of_group
from kbackend_numba.native import Call

# Nanoseconds for a byte.
_BYTE = 0.035
# Columns whose statistics are one item, and those of a share, roughly.
_SPAN, _WIDE = 256, 2048

# What the code of a function depends on besides the dtype and the number of columns.
Key = tuple[Any, ...]


class Matrices(NamedTuple):
    """Matrices whose columns are normalised, each for itself.

    Attributes:
        number: how many matrices.
        rows: of each.
        columns: of each.
        dtype: of the numbers.
    """

    number: int
    rows: int
    columns: int
    dtype: str

    @property
    def groups(self) -> Groups:
        """How the rows of each matrix are grouped."""
        return groups_of(self.rows, self.columns)

    def partial(self, terms: int) -> Spec:
        """Memory for some numbers of each column of each group."""
        return Spec((self.number, self.groups.number, terms, self.columns), self.dtype)

    def table(self, terms: int = 1) -> Spec:
        """Memory for some numbers of each column."""
        return Spec((self.number, terms, self.columns), self.dtype)


# ----- the two kinds of functions -----


class Share(NamedTuple):
    """Some rows of a matrix, and some of its columns.

    Attributes:
        group: number of the rows' group among all.
        matrix: number of the matrix.
        start: the first row, counted over all matrices.
        stop: the one behind the last.
        first: the first column.
        last: the one behind the last.
    """

    group: Value
    matrix: Value
    start: Value
    stop: Value
    first: Value
    last: Value


# Writes what is done with a share.
WriteGroup = Callable[[Code, "Sizes", Share], None]
# Writes what is done with a vector of columns: given the matrix, the place of the vector in a
# table, its place in a row, and its mask.
WriteColumns = Callable[[Code, "Sizes", Value, Value, Value, Value | None], None]


class Sizes:
    """What functions are told: columns and rows of a matrix, rows of a group, groups of a matrix,
    columns of a share."""

    def __init__(self, code: Code, dtype: str, width: Width) -> None:
        self.dtype, self.width = dtype, width
        self.lanes = code.target.lanes(Type(dtype).bits // 8)
        self.columns, self.rows, self.size, self.groups, self.span = map(code.size, range(5))

    def each_block(self, code: Code, share: Share, body: Callable[[Block], None]) -> None:
        """Writes `body` for all blocks of a share's columns."""
        each_block(code, self.dtype, (share.first, share.last), self.columns, self.width, body)


def by_groups(
    matrices: Matrices, name: str, key: Key, write: WriteGroup, arrays: Ints, moved: int
) -> Call:
    """A call whose items are shares of a matrix.

    Args:
        matrices: what it is about.
        name: of the function.
        key: what its code depends on.
        write: writes what is done with an item.
        arrays: places of its arrays.
        moved: how many arrays like x it reads and writes.
    """
    dtype, width = matrices.dtype, width_of(matrices.columns, matrices.dtype)
    groups = matrices.groups

    def body(code: Code) -> None:
        sizes = Sizes(code, dtype, width)
        spans = (sizes.columns + sizes.span - 1) // sizes.span
        with code.loop(code.begin, code.end) as item:
            group = item // spans
            matrix = group // sizes.groups
            first = (item - group * spans) * sizes.span
            last = first + sizes.span
            last = code.select(last < sizes.columns, last, sizes.columns)
            inside = group - matrix * sizes.groups
            start, stop = rows_of_group(code, inside, sizes.size, sizes.rows)
            before = matrix * sizes.rows
            write(code, sizes, Share(group, matrix, before + start, before + stop, first, last))

    made = function((name, dtype, width, *key), body)
    told = _told(matrices)
    span = min(told[-1], matrices.columns)
    items = matrices.number * groups.number * -(-matrices.columns // span)
    cost = groups.size * span * Type(dtype).bits / 8 * _BYTE * moved
    return Call(made, arrays, told, items, cost)


def by_columns(matrices: Matrices, name: str, key: Key, write: WriteColumns, arrays: Ints) -> Call:
    """A call whose items are some columns of a matrix; see `by_groups`."""
    dtype, width = matrices.dtype, width_of(matrices.columns, matrices.dtype)

    def body(code: Code) -> None:
        sizes = Sizes(code, dtype, width)
        spans = (sizes.columns + (_SPAN - 1)) // _SPAN
        with code.loop(code.begin, code.end) as item:
            matrix = item // spans
            first = (item - matrix * spans) * _SPAN
            left = sizes.columns - first
            count = code.select(left < _SPAN, left, code.number(_SPAN))

            def vector(at: Value, mask: Value | None) -> None:
                column = first + at
                place = matrix * sizes.columns + column
                write(code, sizes, matrix, place, column, mask)

            each_vector(code, count, sizes.lanes, vector, width.even)

    made = function((name, dtype, width, *key), body)
    spans = -(-matrices.columns // _SPAN)
    cost = 50.0 + 0.2 * matrices.groups.number * min(matrices.columns, _SPAN)
    return Call(made, arrays, _told(matrices), matrices.number * spans, cost)


def _told(matrices: Matrices) -> Ints:
    width = width_of(matrices.columns, matrices.dtype)
    block = width.vectors * host().lanes(Type(matrices.dtype).bits // 8)
    return (matrices.columns, matrices.rows, *matrices.groups, _WIDE // block * block)


# ----- sums over groups, and over all of them -----


def joined(
    code: Code, sizes: Sizes, partial: int, first: Value, column: Value, mask: Value | None
) -> tuple[Value, Value]:
    """The two sums of a vector of columns over all groups."""
    zero = code.number(0.0, sizes.dtype, sizes.lanes)
    found = code.var(zero), code.var(zero)
    table = code.array(partial)
    with code.loop(0, sizes.groups) as group:
        place = (first + group) * 2 * sizes.columns + column
        for i, total in enumerate(found):
            at = place + sizes.columns * i
            total.set(total.value + code.load(table, at, sizes.dtype, sizes.lanes, mask))
    return found[0].value, found[1].value
