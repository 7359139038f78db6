"""Normalisation where neighbouring columns of a matrix share their statistics, as in group
normalisation, and in batch normalisation with channels first.

Passes over x are those of normalisation by columns. Between them, what was found for single columns
is joined to what they share, and spread over the columns again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kbackend.engine.program import Ints, Prepared, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.row import Place, Row, length_of
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.kernels.copying import copy
from kbackend_numba.kernels.normalization_columns import (
    applied,
    factors,
    moments_of_groups,
    shift,
)
from kbackend_numba.kernels.normalization_columns_grad import gradient_applied, sums_of_groups
from kbackend_numba.kernels.normalization_groups import Matrices
from kbackend_numba.kernels.normalization_rows import Wanted
from kbackend_numba.kernels.partial_sums import add_groups
from kbackend_numba.native import Call, native


class Joint(NamedTuple):
    """Matrices whose columns are normalised together, some at a time.

    Attributes:
        matrices: what is normalised.
        together: how many neighbouring columns share their statistics.
        single: whether parameters have a number for each column; else one for those together.
    """

    matrices: Matrices
    together: int
    single: bool

    @property
    def parts(self) -> int:
        """How many statistics a matrix has."""
        return self.matrices.columns // self.together

    def spread(self, arrays: Ints, number: int) -> list[Call]:
        """The call that writes some numbers to an array, each as often as columns share it."""
        numbers = Spec((number, self.together), self.matrices.dtype, (1, 0))
        call = copy(numbers, source=arrays[1], target=arrays[0])
        return [] if call is None else [call]


class _Columns:
    """The columns that share statistics, as a row.

    Attributes:
        row: the row.
        number: of the statistics, among those of all matrices.
        part: and among those of their matrix.
        rows: of the matrix.
    """

    def __init__(self, row: Row, number: Value) -> None:
        code = row.code
        parts, self.rows, self._size, self._groups = (code.size(1 + i) for i in range(4))
        self.row, self.number = row, number
        self._matrix = number // parts
        self.part = number - self._matrix * parts
        self._width = parts * row.count

    @property
    def count(self) -> Value:
        """How many numbers share the statistics."""
        return (self.rows * self.row.count).cast(self.row.dtype)

    def sums(self, partial: int, term: int, place: Place) -> Value:
        """One of the two sums that groups of rows have left, for some of the columns."""
        row, code = self.row, self.row.code
        total = code.var(code.number(0.0, row.dtype, row.lanes))
        first = self._matrix * self._groups * 2 + term
        with code.loop(0, self._groups) as group:
            at = (first + group * 2) * self._width + self.part * row.count
            table = code.offset(code.array(partial), at, row.dtype)
            total.set(total.value + row.load(table, place))
        return total.value

    def shift(self, x: int, place: Place) -> Value:
        """What was subtracted from x."""
        row, code = self.row, self.row.code

        def load(first: Value) -> list[Value]:
            at = first + self.part * row.count
            return [row.load(code.offset(code.array(x), at, row.dtype), place)]

        return shift(self._matrix * self.rows, self.rows, self._width, load)[0]

    def table(self, array: int, line: int) -> Address:
        """Where the columns begin in one of the three lines of their matrix's table."""
        row, code = self.row, self.row.code
        at = (self._matrix * 3 + line) * self._width + self.part * row.count
        return code.offset(code.array(array), at, row.dtype)

    def parameter(self, array: int, single: bool, place: Place) -> Value:
        """A parameter of the columns."""
        row, code = self.row, self.row.code
        if single:
            return row.load(row.start(array, self.part), place)
        return code.splat(code.load(code.array(array), self.part, row.dtype), row.lanes)


_Write = Callable[[_Columns], None]


def _by_statistics(
    joint: Joint, name: str, key: tuple[Any, ...], write: _Write, arrays: Ints
) -> Call:
    """A call whose items are columns that share their statistics."""
    matrices, together = joint.matrices, joint.together
    dtype, length = matrices.dtype, length_of(together, matrices.dtype)

    def body(code: Code) -> None:
        row = Row(code, dtype, code.size(0), length)
        with code.loop(code.begin, code.end) as number:
            write(_Columns(row, number))

    made = function((name, dtype, length, *key), body)
    sizes = (together, joint.parts, matrices.rows, *matrices.groups)
    cost = 50.0 + 0.3 * together * (matrices.groups.number + 4)
    return Call(made, arrays, sizes, matrices.number * joint.parts, cost)


# ----- from x to y -----


def standardize(
    joint: Joint, epsilon: float, scaled: bool, centred: bool, scratch: int
) -> Prepared:
    """`y, mean, variance` of `x`, and of scale and offset if there are any. `scratch` is the place
    of the first scratch array."""
    matrices = joint.matrices
    scale, offset = (4,) * scaled, (4 + scaled,) * centred
    partial, middle, factor, wide = range(scratch, scratch + 4)
    key = (epsilon, scaled, joint.single)
    arrays = (1, 2, middle, factor, partial, 3, *scale)
    calls = [
        moments_of_groups(matrices, (partial, 3)),
        _by_statistics(joint, "joint moments", key, _moments(*key), arrays),
    ]
    if centred and not joint.single:
        calls += joint.spread((wide, *offset), joint.parts)
        offset = (wide,)
    calls.append(applied(matrices, (0, 3, middle, factor, *offset)))
    tables = [matrices.table(), matrices.table(), Spec((matrices.columns,), matrices.dtype)]
    return native(calls, [matrices.partial(2), *tables], [(0, 0)])


def _moments(epsilon: float, scaled: bool, single: bool) -> _Write:
    """Writes `mean, variance, middle, factor` from `partial, x`, and a scale if there is one."""

    def write(columns: _Columns) -> None:
        row, number = columns.row, columns.number
        code, n = row.code, columns.rows.cast(row.dtype)
        middle, factor = row.start(2, number), row.start(3, number)

        def apart(place: Place) -> Value:
            return columns.sums(4, 0, place) / n

        def rest(place: Place) -> Value:
            off = apart(place)
            return columns.sums(4, 1, place) / n - off * off

        means = row.keep(lambda place: columns.shift(5, place) + apart(place), middle)
        width = row.count.cast(row.dtype)
        mean = row.sums(means)[0] / width

        def spread(place: Place) -> Value:
            off = means(place) - mean
            return code.fma(off, off, rest(place))

        # Rounding must not make it negative.
        variance = code.maximum(row.sums(spread)[0] / width, 0.0)
        inverse = 1.0 / code.call("sqrt", variance + epsilon)

        def slope(place: Place) -> Value:
            if scaled:
                return columns.parameter(6, single, place) * inverse
            return code.splat(inverse, row.lanes)

        row.put(middle, lambda place: code.splat(mean, row.lanes))
        row.put(factor, slope)
        code.store(mean, code.array(0), number)
        code.store(variance, code.array(1), number)

    return write


def batch_normalization(
    joint: Joint, epsilon: float, scaled: bool, centred: bool, scratch: int
) -> Prepared:
    """`y` of `x, mean, variance`, and of scale and offset if there are any, each with one number
    for those columns that share it. `scratch` is the place of the first scratch array."""
    scale, offset = (4,) * scaled, (4 + scaled,) * centred
    slim, middle, factor, wide = range(scratch, scratch + 4)
    shared = joint.matrices._replace(rows=1, columns=joint.parts)
    calls = [
        factors(shared, epsilon, (slim, 3, *scale)),
        *joint.spread((middle, 2), joint.parts),
        *joint.spread((factor, slim), joint.parts),
    ]
    if centred:
        calls += joint.spread((wide, *offset), joint.parts)
    last = (0, 1, middle, factor, *(wide,) * centred)
    tables = [joint.matrices.table()] * (2 + centred)
    return native([*calls, applied(joint.matrices, last)], [shared.table(), *tables], [(0, 0)])


# ----- gradients -----


def standardize_grad(joint: Joint, epsilon: float, scaled: bool, wanted: Wanted) -> Prepared:
    """The wanted gradients of `g, g_mean, g_variance, x, mean, variance` and a scale if there is
    one."""
    matrices, made = joint.matrices, sum(wanted)
    g, g_mean, g_variance, x, mean, variance = range(made, made + 6)
    scale = (made + 6,) * scaled
    partial = made + 6 + scaled
    middle, table = partial + 1, partial + 2
    # Each matrix's own part of the parameters' gradients.
    parts = range(table + 1, table + 1 + wanted.parameters)
    key = (epsilon, scaled, joint.single, *wanted)
    arrays = (table, partial, g_mean, g_variance, variance, *parts, *scale)
    calls = [
        *joint.spread((middle, mean), matrices.number * joint.parts),
        sums_of_groups(matrices, (partial, g, x, middle)),
        _by_statistics(joint, "joint gradient", key, _gradient(*key), arrays),
    ]
    if wanted.x:
        calls.append(gradient_applied(matrices, (0, g, x, middle, table)))
    own = matrices.columns if joint.single else joint.parts
    for output, part in zip(range(int(wanted.x), made), parts, strict=True):
        calls.append(add_groups((output, part), 0, 1, own, matrices.number, matrices.dtype))
    scratch = [matrices.partial(2), matrices.table(), matrices.table(3)]
    scratch += [Spec((matrices.number, own), matrices.dtype)] * wanted.parameters
    return native(calls, scratch, [(0, 0)] if wanted.x else [])


def _gradient(
    epsilon: float, scaled: bool, single: bool, needs_x: bool, needs_scale: bool, needs_offset: bool
) -> _Write:
    """Writes `table` and the parameters' gradients from `partial, g_mean, g_variance, variance`,
    and a scale if there is one."""

    def write(columns: _Columns) -> None:
        row, number = columns.row, columns.number
        code, n = row.code, columns.count

        def statistic(array: int) -> Value:
            return code.load(code.array(array), number, row.dtype)

        def total(place: Place) -> Value:
            return columns.sums(1, 0, place)

        def along(place: Place) -> Value:
            return columns.sums(1, 1, place)

        def weighted(value: Value, place: Place) -> Value:
            if not scaled:
                return value
            return value * columns.parameter(5 + needs_scale + needs_offset, single, place)

        inverse = 1.0 / code.call("sqrt", statistic(4) + epsilon)
        terms = [lambda place: along(place) * inverse] * needs_scale + [total] * needs_offset
        for array, term in enumerate(terms, 5):
            if single:
                row.put(row.start(array, number), term)
            else:
                code.store(row.sums(term)[0], code.array(array), number)
        if not needs_x:
            return
        level, slope = row.sums(
            lambda place: weighted(total(place), place), lambda place: weighted(along(place), place)
        )
        slope = (statistic(3) * 2.0 - slope * inverse * inverse * inverse) / n
        level = (statistic(2) - level * inverse) / n
        one = code.splat(inverse, row.lanes)
        for i, term in enumerate(
            (
                lambda place: weighted(one, place),
                lambda place: code.splat(slope, row.lanes),
                lambda place: code.splat(level, row.lanes),
            )
        ):
            row.put(columns.table(0, i), term)

    return write
