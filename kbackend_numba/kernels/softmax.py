"""Softmax, its logarithm and their gradients, row by row.

A row's maximum is subtracted before exponentials are taken. Where a number is NaN, so is its row,
whatever its maximum is said to be.
"""

from __future__ import annotations

from collections.abc import Sequence

from kbackend.engine.program import Ints, Prepared, Spec
from kbackend_numba.codegen.math import exp, exp_of_negative, log
from kbackend_numba.codegen.row import Row, Term
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.kernels.rows import Matrix, WriteRow, by_rows, over_axes
from kbackend_numba.native import Prepare, native

Specs = tuple[Spec, ...]

# Nanoseconds for an exponential.
_EXP = 0.15


def exponentials(row: Row, x: Address, room: Address | None) -> tuple[Term, Value]:
    """exp(x - the row's maximum), and its sum. `room` is memory for a row, if it is long and its
    exponentials are needed again."""
    apart = shifted(row, x)
    kept: Term = lambda place: exp_of_negative(row.code, apart(place))  # noqa: E731
    if room is not None:
        kept = row.keep(kept, room)
    (total,) = row.sums(kept)
    return kept, total


def shifted(row: Row, x: Address) -> Term:
    """x - the row's maximum."""
    largest = row.largest(lambda place: row.load(x, place))
    return lambda place: row.load(x, place) - largest


def log_sum(row: Row, apart: Term) -> Value:
    """The logarithm of the sum of exponentials of what `shifted` gives."""
    (total,) = row.sums(lambda place: exp_of_negative(row.code, apart(place)))
    return log(row.code, total)


def _softmax(row: Row, number: Value) -> None:
    out, x = (row.start(i, number) for i in range(2))
    kept, total = exponentials(row, x, out)
    inverse = 1.0 / total
    row.put(out, lambda place: kept(place) * inverse)


def _softmax_grad(row: Row, number: Value) -> None:
    out, g, result = (row.start(i, number) for i in range(3))
    (total,) = row.sums(lambda place: row.load(g, place) * row.load(result, place))
    row.put(out, lambda place: (row.load(g, place) - total) * row.load(result, place))


def _log_softmax(row: Row, number: Value) -> None:
    out, x = (row.start(i, number) for i in range(2))
    apart = shifted(row, x)
    rest = log_sum(row, apart)
    row.put(out, lambda place: apart(place) - rest)


def _log_softmax_grad(row: Row, number: Value) -> None:
    out, g, result = (row.start(i, number) for i in range(3))
    (total,) = row.sums(lambda place: row.load(g, place))
    row.put(
        out,
        lambda place: row.code.fma(
            exp(row.code, row.load(result, place)), -total, row.load(g, place)
        ),
    )


def _prepare(
    name: str, write: WriteRow, whole: Ints, overwrites: Sequence[tuple[int, int]], work: float
) -> Prepare:
    def prepare(inputs: Specs, outputs: Specs, axes: Ints) -> Prepared | None:
        def make(matrix: Matrix) -> Prepared:
            arrays = tuple(range(1 + len(inputs)))
            call = by_rows(matrix, (name,), write, arrays, matrix.cost(len(arrays), work))
            return native([call], overwrites=matrix.in_place(*overwrites))

        return over_axes(make, inputs, outputs, axes, whole)

    return prepare


PREPARE: dict[str, Prepare] = {
    "softmax": _prepare("softmax", _softmax, (0,), [(0, 0)], _EXP),
    "softmax_grad": _prepare("softmax grad", _softmax_grad, (0, 1), [(0, 0), (1, 0)], 0.05),
    "log_softmax": _prepare("log softmax", _log_softmax, (0,), [(0, 0)], _EXP),
    "log_softmax_grad": _prepare(
        "log softmax grad", _log_softmax_grad, (0, 1), [(0, 0), (1, 0)], _EXP
    ),
}
