"""Normalisation where each column of a matrix has its own statistics, as in batch normalisation
with channels last; for several matrices at once, as in instance normalisation.

x is read twice: for sums over groups of rows, which are then joined, and to be normalised. The sums
are those of differences to the mean of a few rows, so that a large mean costs no digits. Gradients
are computed in two passes as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kbackend.engine.program import Ints, Prepared, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.columns import Block, Width, each_block, width_of
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.value import Type, Value
from kbackend_numba.codegen.vectors import each_vector
from kbackend_numba.kernels.normalization_rows import Wanted
from kbackend_numba.kernels.partial_sums import Groups, add_groups, groups_of, rows_of_group
from kbackend_numba.native import Call, native

# Nanoseconds for a byte.
_BYTE = 0.035
# Columns whose statistics are one item.
_SPAN = 256

# What the code of a function depends on besides the dtype: numbers and truth values.
Key = tuple[float, ...]


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

# Writes what is done with a group: its number among all, its matrix, its first row and that behind
# its last.
_WriteGroup = Callable[[Code, "_Sizes", Value, Value, Value, Value], None]
# Writes what is done with a vector of columns: the matrix, the place of the vector in a table, its
# place in a row, and its mask.
_WriteColumns = Callable[[Code, "_Sizes", Value, Value, Value, Value | None], None]


class _Sizes:
    """What functions are told."""

    def __init__(self, code: Code, dtype: str, width: Width) -> None:
        self.dtype, self.width = dtype, width
        self.lanes = code.target.lanes(Type(dtype).bits // 8)
        self.columns, self.rows, self.size, self.groups = (code.size(i) for i in range(4))


def _by_groups(
    matrices: Matrices, name: str, key: Key, write: _WriteGroup, arrays: Ints, moved: int
) -> Call:
    """A call whose items are groups of rows.

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
        sizes = _Sizes(code, dtype, width)
        with code.loop(code.begin, code.end) as item:
            matrix = item // sizes.groups
            group = item - matrix * sizes.groups
            start, stop = rows_of_group(code, group, sizes.size, sizes.rows)
            first = matrix * sizes.rows
            write(code, sizes, item, matrix, first + start, first + stop)

    made = function((name, dtype, width, *key), body)
    cost = groups.size * matrices.columns * Type(dtype).bits / 8 * _BYTE * moved
    return Call(made, arrays, _told(matrices), matrices.number * groups.number, cost)


def _by_columns(
    matrices: Matrices, name: str, key: Key, write: _WriteColumns, arrays: Ints
) -> Call:
    """A call whose items are some columns of a matrix; see `_by_groups`."""
    dtype, width = matrices.dtype, width_of(matrices.columns, matrices.dtype)

    def body(code: Code) -> None:
        sizes = _Sizes(code, dtype, width)
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
    return (matrices.columns, matrices.rows, *matrices.groups)


# ----- sums over groups, and over all of them -----


def _joined(
    code: Code, sizes: _Sizes, partial: int, first: Value, column: Value, mask: Value | None
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


# ----- statistics -----


def _shift(sizes: _Sizes, matrix: Value, load: Callable[[Value], list[Value]]) -> list[Value]:
    """The mean of a few rows of a matrix, which is near enough to that of all. `load` reads a row
    of x."""
    first = matrix * sizes.rows
    rows = [load((first + sizes.rows * i // 4) * sizes.columns) for i in range(4)]
    return [(a + b + (c + d)) * 0.25 for a, b, c, d in zip(*rows, strict=True)]


def _moments_of_group(
    code: Code, sizes: _Sizes, item: Value, matrix: Value, start: Value, stop: Value
) -> None:
    """Writes `partial` from `x`: sums of the differences to a shift, and of their squares."""
    partial, x = code.array(0), code.array(1)
    columns = sizes.columns

    def block(block: Block) -> None:
        shifts = _shift(sizes, matrix, lambda row: block.load(x, row))
        zero = code.number(0.0, sizes.dtype, sizes.lanes)
        totals, squares = ([code.var(zero) for _ in shifts] for _ in range(2))
        with code.loop(start, stop) as row:
            values = block.load(x, row * columns)
            for value, shift, total, square in zip(values, shifts, totals, squares, strict=True):
                apart = value - shift
                total.set(total.value + apart)
                square.set(code.fma(apart, apart, square.value))
        place = item * 2 * columns
        block.store([total.value for total in totals], partial, place)
        block.store([square.value for square in squares], partial, place + columns)

    each_block(code, sizes.dtype, columns, sizes.width, block)


def _moments(epsilon: float, scaled: bool) -> _WriteColumns:
    """Writes `mean, variance, factor` from `partial, x`, and a scale if there is one."""

    def write(
        code: Code, sizes: _Sizes, matrix: Value, place: Value, column: Value, mask: Value | None
    ) -> None:
        dtype, lanes = sizes.dtype, sizes.lanes
        n = sizes.rows.cast(dtype)

        def load(row: Value) -> list[Value]:
            return [code.load(code.array(4), row + column, dtype, lanes, mask)]

        (shift,) = _shift(sizes, matrix, load)
        total, squares = _joined(code, sizes, 3, matrix * sizes.groups, column, mask)
        apart = total / n
        # Rounding must not make it negative.
        variance = code.maximum(squares / n - apart * apart, 0.0)
        code.store(shift + apart, code.array(0), place, mask)
        code.store(variance, code.array(1), place, mask)
        factor = 1.0 / code.call("sqrt", variance + epsilon)
        if scaled:
            factor = factor * code.load(code.array(5), column, dtype, lanes, mask)
        code.store(factor, code.array(2), place, mask)

    return write


# ----- from x to y -----


def standardize(matrices: Matrices, epsilon: float, scaled: bool, centred: bool) -> Prepared:
    """`y, mean, variance` of `x`, and of scale and offset if there are any."""
    scale, offset = (4,) * scaled, (4 + scaled,) * centred
    partial = 4 + scaled + centred
    factor = partial + 1
    key = (epsilon, scaled)
    arrays = (1, 2, factor, partial, 3, *scale)
    calls = [
        _by_groups(matrices, "moments of groups", (), _moments_of_group, (partial, 3), 1),
        _by_columns(matrices, "moments of columns", key, _moments(*key), arrays),
        _applied(matrices, (0, 3, 1, factor, *offset)),
    ]
    return native(calls, [matrices.partial(2), matrices.table()], [(0, 0)])


def _applied(matrices: Matrices, arrays: Ints) -> Call:
    """The call that writes `y` from `x, mean, factor`, and an offset if there is one."""
    centred = len(arrays) > 4
    return _by_groups(matrices, "apply factors", (centred,), _apply(centred), arrays, 2)


def _apply(centred: bool) -> _WriteGroup:
    def write(
        code: Code, sizes: _Sizes, item: Value, matrix: Value, start: Value, stop: Value
    ) -> None:
        y, x, mean, factor = (code.array(i) for i in range(4))

        def block(block: Block) -> None:
            means, factors = (block.load(a, matrix * sizes.columns) for a in (mean, factor))
            offsets = block.load(code.array(4), code.number(0)) if centred else []
            with code.loop(start, stop) as row:
                place = row * sizes.columns
                values = [v - m for v, m in zip(block.load(x, place), means, strict=True)]
                if centred:
                    three = zip(values, factors, offsets, strict=True)
                    values = [code.fma(v, f, o) for v, f, o in three]
                else:
                    values = [v * f for v, f in zip(values, factors, strict=True)]
                block.store(values, y, place)

        each_block(code, sizes.dtype, sizes.columns, sizes.width, block)

    return write


def batch_normalization(
    matrices: Matrices, epsilon: float, scaled: bool, centred: bool
) -> Prepared:
    """`y` of `x, mean, variance`, and of scale and offset if there are any."""
    scale, offset = (4,) * scaled, (4 + scaled,) * centred
    factor = 4 + scaled + centred
    key = (epsilon, scaled)
    calls = [
        _by_columns(matrices, "factors", key, _factors(*key), (factor, 3, *scale)),
        _applied(matrices, (0, 1, 2, factor, *offset)),
    ]
    return native(calls, [matrices.table()], [(0, 0)])


def _factors(epsilon: float, scaled: bool) -> _WriteColumns:
    """Writes `factor` from `variance`, and a scale if there is one."""

    def write(
        code: Code, sizes: _Sizes, matrix: Value, place: Value, column: Value, mask: Value | None
    ) -> None:
        variance = code.load(code.array(1), column, sizes.dtype, sizes.lanes, mask)
        factor = 1.0 / code.call("sqrt", variance + epsilon)
        if scaled:
            factor = factor * code.load(code.array(2), column, sizes.dtype, sizes.lanes, mask)
        code.store(factor, code.array(0), column, mask)

    return write


# ----- gradients -----


def _sums_of_group(
    code: Code, sizes: _Sizes, item: Value, matrix: Value, start: Value, stop: Value
) -> None:
    """Writes `partial` from `g, x, mean`: sums of g and of g * (x - mean)."""
    partial, g, x, mean = (code.array(i) for i in range(4))
    columns = sizes.columns

    def block(block: Block) -> None:
        means = block.load(mean, matrix * columns)
        zero = code.number(0.0, sizes.dtype, sizes.lanes)
        totals, along = ([code.var(zero) for _ in means] for _ in range(2))
        with code.loop(start, stop) as row:
            given, values = (block.load(a, row * columns) for a in (g, x))
            for d, v, m, total, weighted in zip(given, values, means, totals, along, strict=True):
                total.set(total.value + d)
                weighted.set(code.fma(d, v - m, weighted.value))
        place = item * 2 * columns
        block.store([total.value for total in totals], partial, place)
        block.store([total.value for total in along], partial, place + columns)

    each_block(code, sizes.dtype, columns, sizes.width, block)


def standardize_grad(matrices: Matrices, epsilon: float, scaled: bool, wanted: Wanted) -> Prepared:
    """The wanted gradients of `g, g_mean, g_variance, x, mean, variance` and a scale if there is
    one."""
    made, dtype = sum(wanted), matrices.dtype
    g, g_mean, g_variance, x, mean, variance = range(made, made + 6)
    scale = (made + 6,) * scaled
    partial = made + 6 + scaled
    table = partial + 1
    # Of several matrices each one's own part of the parameters' gradients comes first.
    several = matrices.number > 1
    parts = range(table + 1, table + 1 + wanted.parameters)
    outputs = range(int(wanted.x), made)
    key = (epsilon, scaled, *wanted)
    sums = (partial, g, x, mean)
    arrays = (
        table, partial, g_mean, g_variance, variance, *(parts if several else outputs), *scale,
    )  # fmt: skip
    calls = [
        _by_groups(matrices, "gradient sums of groups", (), _sums_of_group, sums, 2),
        _by_columns(matrices, "gradient factors", key, _gradient_factors(*key), arrays),
    ]
    if wanted.x:
        last = (0, g, x, mean, table)
        calls.append(_by_groups(matrices, "apply gradient", (), _apply_gradient, last, 3))
    scratch = [matrices.partial(2), matrices.table(3)]
    if several:
        for output, part in zip(outputs, parts, strict=True):
            place = (output, part)
            calls.append(add_groups(place, 0, 1, matrices.columns, matrices.number, dtype))
            scratch.append(matrices.table())
    return native(calls, scratch, [(0, 0)] if wanted.x else [])


def _gradient_factors(
    epsilon: float, scaled: bool, needs_x: bool, needs_scale: bool, needs_offset: bool
) -> _WriteColumns:
    """Writes `table` and the wanted parameters' gradients."""

    def write(
        code: Code, sizes: _Sizes, matrix: Value, place: Value, column: Value, mask: Value | None
    ) -> None:
        dtype, lanes = sizes.dtype, sizes.lanes
        table, parameters = code.array(0), 5 + needs_scale + needs_offset
        g_mean, g_variance, variance = (
            code.load(code.array(i), place, dtype, lanes, mask) for i in (2, 3, 4)
        )
        total, along = _joined(code, sizes, 1, matrix * sizes.groups, column, mask)
        inverse = 1.0 / code.call("sqrt", variance + epsilon)
        if needs_scale:
            code.store(along * inverse, code.array(5), place, mask)
        if needs_offset:
            code.store(total, code.array(5 + needs_scale), place, mask)
        if not needs_x:
            return
        factor, n = inverse, sizes.rows.cast(dtype)
        if scaled:
            factor = factor * code.load(code.array(parameters), column, dtype, lanes, mask)
        slope = (g_variance * 2.0 - along * factor * (inverse * inverse)) / n
        level = (g_mean - factor * total) / n
        # The three rows of the matrix's own table.
        at = place + matrix * 2 * sizes.columns
        for i, value in enumerate((factor, slope, level)):
            code.store(value, table, at + sizes.columns * i, mask)

    return write


def _apply_gradient(
    code: Code, sizes: _Sizes, item: Value, matrix: Value, start: Value, stop: Value
) -> None:
    """Writes `dx` from `g, x, mean` and the table of factors."""
    dx, g, x, mean, table = (code.array(i) for i in range(5))
    columns = sizes.columns

    def block(block: Block) -> None:
        means = block.load(mean, matrix * columns)
        factors, slopes, levels = (block.load(table, (matrix * 3 + i) * columns) for i in range(3))
        with code.loop(start, stop) as row:
            place = row * columns
            values = [v - m for v, m in zip(block.load(x, place), means, strict=True)]
            three = zip(values, slopes, levels, strict=True)
            values = [code.fma(v, slope, level) for v, slope, level in three]
            three = zip(block.load(g, place), factors, values, strict=True)
            block.store([code.fma(d, factor, v) for d, factor, v in three], dx, place)

    each_block(code, sizes.dtype, columns, sizes.width, block)
