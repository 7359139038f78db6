"""Normalisation where each row of a matrix has its own statistics, as in layer normalisation.

A row is read once and kept in registers, or in the nearest cache if it is long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kbackend.engine.program import Prepared
from kbackend_numba.codegen.code import Code, Var
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.row import Length, Place, Row, Term
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.codegen.vectors import fill
from kbackend_numba.kernels.partial_sums import add_groups, groups_of, rows_of_group
from kbackend_numba.kernels.rows import Matrix, WriteRow, by_rows
from kbackend_numba.native import Call, native

# ----- from x to y -----


def standardize(matrix: Matrix, epsilon: float, scaled: bool, centred: bool) -> Prepared:
    """`y, mean, variance` of `x`, and of scale and offset if there are any."""
    key = (epsilon, scaled, centred)
    arrays = tuple(range(4 + scaled + centred))
    name = ("standardize rows", *key)
    call = by_rows(matrix, name, _standardize(*key), arrays, matrix.cost(2))
    return native([call], overwrites=matrix.in_place((0, 0)))


def _standardize(epsilon: float, scaled: bool, centred: bool) -> WriteRow:
    def write(row: Row, number: Value) -> None:
        code, n = row.code, row.count.cast(row.dtype)
        y, x = row.start(0, number), row.start(3, number)
        affine = [code.array(4 + i) for i in range(scaled + centred)]
        (total,) = row.sums(lambda place: row.load(x, place))
        mean = total / n

        def centre(place: Place) -> Value:
            return row.load(x, place) - mean

        (squares,) = row.sums(lambda place: _square(centre(place)))
        variance = squares / n
        factor = 1.0 / code.call("sqrt", variance + epsilon)

        def result(place: Place) -> Value:
            slope = code.splat(factor, row.lanes)
            if scaled:
                slope = slope * row.load(affine[0], place)
            if centred:
                return code.fma(centre(place), slope, row.load(affine[-1], place))
            return centre(place) * slope

        row.put(y, result)
        code.store(mean, code.array(1), number)
        code.store(variance, code.array(2), number)

    return write


def rms(matrix: Matrix, epsilon: float, scaled: bool) -> Prepared:
    """`y, inverse` of `x`, and of a scale if there is one."""
    key = (epsilon, scaled)
    arrays = tuple(range(3 + scaled))
    call = by_rows(matrix, ("rms rows", *key), _rms(*key), arrays, matrix.cost(2))
    return native([call], overwrites=matrix.in_place((0, 0)))


def _rms(epsilon: float, scaled: bool) -> WriteRow:
    def write(row: Row, number: Value) -> None:
        code, n = row.code, row.count.cast(row.dtype)
        y, x = row.start(0, number), row.start(2, number)
        (squares,) = row.sums(lambda place: _square(row.load(x, place)))
        inverse = 1.0 / code.call("sqrt", squares / n + epsilon)

        def result(place: Place) -> Value:
            value = row.load(x, place) * inverse
            return value * row.load(code.array(3), place) if scaled else value

        row.put(y, result)
        code.store(inverse, code.array(1), number)

    return write


def _square(value: Value) -> Value:
    return value * value


# ----- gradients -----


class Wanted(NamedTuple):
    """Which gradients are computed: of x, the scale and the offset."""

    x: bool
    scale: bool
    offset: bool

    @property
    def parameters(self) -> int:
        """How many are summed over rows."""
        return self.scale + self.offset


# Writes what belongs to a row: given its number and where it begins, the gradient in x and the
# terms of the parameters' sums.
_RowGradient = Callable[[Value, Value], tuple[Term, list[Term]]]


def standardize_grad(matrix: Matrix, epsilon: float, scaled: bool, wanted: Wanted) -> Prepared:
    """The wanted gradients of `g, g_mean, g_variance, x, mean, variance` and a scale if there is
    one."""
    key = (matrix.dtype, matrix.length, epsilon, scaled, wanted)
    write = lambda code: _standardize_grad(code, *key)  # noqa: E731
    return _gradient(("standardize rows grad", *key), write, matrix, 6 + scaled, wanted)


def _standardize_grad(
    code: Code, dtype: str, length: Length, epsilon: float, scaled: bool, wanted: Wanted
) -> None:
    columns = code.size(0)
    row, n = Row(code, dtype, columns, length), columns.cast(dtype)
    first = int(wanted.x)
    g, g_means, g_variances, x, means, variances, *scale = (
        code.array(first + i) for i in range(6 + scaled)
    )

    def of_row(number: Value, base: Value) -> tuple[Term, list[Term]]:
        gs, xs = code.offset(g, base, dtype), code.offset(x, base, dtype)
        mean = code.load(means, number, dtype)
        inverse = 1.0 / code.call("sqrt", code.load(variances, number, dtype) + epsilon)

        def centre(place: Place) -> Value:
            return row.load(xs, place) - mean

        def given(place: Place) -> Value:
            value = row.load(gs, place)
            return value * row.load(scale[0], place) if scaled else value

        parameters: list[Term] = []
        if wanted.scale:
            parameters.append(lambda place: row.load(gs, place) * centre(place) * inverse)
        if wanted.offset:
            parameters.append(lambda place: row.load(gs, place))
        if not wanted.x:
            return centre, parameters
        along, total = row.sums(lambda place: given(place) * centre(place), given)
        slope = code.load(g_variances, number, dtype) * 2.0
        slope = (slope - along * inverse * inverse * inverse) / n
        level = (code.load(g_means, number, dtype) - inverse * total) / n

        def gradient(place: Place) -> Value:
            value = code.fma(centre(place), slope, code.splat(level, row.lanes))
            return code.fma(given(place), inverse, value)

        return gradient, parameters

    _write_gradient(code, row, wanted, of_row, last=first + 6 + scaled)


def rms_grad(matrix: Matrix, scaled: bool, wanted: Wanted) -> Prepared:
    """The wanted gradients of `g, g_inverse, x, inverse` and a scale if there is one."""
    key = (matrix.dtype, matrix.length, scaled, wanted)
    write = lambda code: _rms_grad(code, *key)  # noqa: E731
    return _gradient(("rms rows grad", *key), write, matrix, 4 + scaled, wanted)


def _rms_grad(code: Code, dtype: str, length: Length, scaled: bool, wanted: Wanted) -> None:
    columns = code.size(0)
    row, n = Row(code, dtype, columns, length), columns.cast(dtype)
    first = int(wanted.x)
    g, g_inverses, x, inverses, *scale = (code.array(first + i) for i in range(4 + scaled))

    def of_row(number: Value, base: Value) -> tuple[Term, list[Term]]:
        gs, xs = code.offset(g, base, dtype), code.offset(x, base, dtype)
        inverse = code.load(inverses, number, dtype)

        def given(place: Place) -> Value:
            value = row.load(gs, place)
            return value * row.load(scale[0], place) if scaled else value

        parameters: list[Term] = []
        if wanted.scale:
            parameters.append(lambda place: row.load(gs, place) * row.load(xs, place) * inverse)
        if not wanted.x:
            return given, parameters
        (along,) = row.sums(lambda place: given(place) * row.load(xs, place))
        slope = (along + code.load(g_inverses, number, dtype)) / n * (inverse * inverse * inverse)

        def gradient(place: Place) -> Value:
            return code.fma(given(place), inverse, -(row.load(xs, place) * slope))

        return gradient, parameters

    _write_gradient(code, row, wanted, of_row, last=first + 4 + scaled)


def _gradient(
    key: tuple[object, ...], write: Callable[[Code], None], matrix: Matrix, given: int,
    wanted: Wanted,
) -> Prepared:  # fmt: skip
    """The kernel of a gradient with `given` inputs, of which the first may become that of x."""
    rows, columns, dtype = matrix
    groups, terms = groups_of(rows, columns), wanted.parameters
    made = sum(wanted)
    partial = made + given
    arrays = (0,) * wanted.x + tuple(range(made, partial)) + (partial,) * (terms > 0)
    cost = groups.size * matrix.cost(3)
    calls = [Call(function(key, write), arrays, (columns, rows, groups.size), groups.number, cost)]
    for term in range(terms):
        places = (wanted.x + term, partial)
        calls.append(add_groups(places, term, terms, columns, groups.number, dtype))
    scratch = [groups.partial(terms, columns, dtype)] if terms else []
    return native(calls, scratch, matrix.in_place((0, 0)) if wanted.x else [])


def _write_gradient(code: Code, row: Row, wanted: Wanted, of_row: _RowGradient, last: int) -> None:
    """Goes through the rows of groups. `last` is the place of the groups' sums."""
    columns, rows, size = (code.size(i) for i in range(3))
    with code.loop(code.begin, code.end) as group:
        start, stop = rows_of_group(code, group, size, rows)
        sums = [
            _RowSum(row, code.offset(code.array(last), at * columns, row.dtype))
            for at in (group * wanted.parameters + i for i in range(wanted.parameters))
        ]
        with code.loop(start, stop) as number:
            gradient, terms = of_row(number, number * columns)
            for total, term in zip(sums, terms, strict=True):
                total.add(term)
            if wanted.x:
                row.put(code.offset(code.array(0), number * columns, row.dtype), gradient)
        for total in sums:
            total.finish()


class _RowSum:
    """A sum over rows, in registers where these are short, else in memory."""

    def __init__(self, row: Row, out: Address) -> None:
        self._row, self._out = row, out
        code = row.code
        self._vars: list[Var] = []
        if row.length.vectors:
            zero = code.number(0.0, row.dtype, row.lanes)
            self._vars = [code.var(zero) for _ in range(row.length.vectors)]
        else:
            fill(code, out, row.count, code.number(0.0, row.dtype))

    def add(self, term: Term) -> None:
        """Adds a row."""
        row = self._row
        if self._vars:
            for total, place in zip(self._vars, row.places(), strict=True):
                total.set(total.value + term(place))
        else:
            row.put(self._out, lambda place: row.load(self._out, place) + term(place))

    def finish(self) -> None:
        """Writes the sum, where it is not in memory yet."""
        if self._vars:
            self._row.put(self._out, lambda place: self._vars[place.number].value)
