"""Winograd's short convolutions: `m` results of `r` taps from `m + r - 1` products.

A correlation `y[i] = sum(x[i + k] * w[k])` is a product of polynomials read backwards. Evaluated at
`m + r - 1` points it needs one multiplication for each, and matrices of small rational numbers lead
to the values at the points and back:

    y = output @ ((filters @ w) * (data @ x))

In two dimensions each matrix is applied to the rows and to the columns. The matrices are derived
here, exactly, from the points (Toom and Cook); one of the points is infinity. The closer to 1 the
sizes of their powers are, the less is lost by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.value import Value

Matrix = tuple[tuple[Fraction, ...], ...]


class Short(NamedTuple):
    """A short convolution.

    Attributes:
        results: `m`, how many are computed at a time.
        output: `(m, m + r - 1)`.
        filters: `(m + r - 1, r)`.
        data: `(m + r - 1, m + r - 1)`.
    """

    results: int
    output: Matrix
    filters: Matrix
    data: Matrix

    @property
    def points(self) -> int:
        """Products of one dimension."""
        return len(self.data)


# Finite points for so many results of three taps. Those for four have powers nearer to 1 than the
# usual 0, +-1, +-2, and lose half as much.
POINTS = {
    2: (Fraction(0), Fraction(1), Fraction(-1)),
    4: (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)),
}


@cache
def short(results: int, taps: int = 3) -> Short:
    """The short convolution of so many results and taps, at the points of `POINTS`.

    >>> f = short(2)
    >>> [[str(number) for number in row] for row in f.output]
    [['1', '1', '1', '0'], ['0', '1', '-1', '1']]
    """
    points = POINTS[results]
    output = [[*[p**i for p in points], Fraction(int(i == results - 1))] for i in range(results)]
    filters, data = [], []
    for p in points:
        others = [q for q in points if q != p]
        scale = Fraction(1)
        for q in others:
            scale *= p - q
        row = [p**j / scale for j in range(taps)]
        line = [*_polynomial(others), Fraction(0)]
        # Both may change their sign: first numbers are positive, so that more rows look alike.
        sign = -1 if next(c for c in row if c) < 0 else 1
        filters.append([sign * c for c in row])
        data.append([sign * c for c in line])
    filters.append([Fraction(int(j == taps - 1)) for j in range(taps)])
    data.append(_polynomial(points))
    return Short(results, _fixed(output), _fixed(filters), _fixed(data))


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of the product of all `x - root`, from the lowest."""
    found = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *found]
        found = [a - root * b for a, b in zip(shifted, [*found, Fraction(0)], strict=True)]
    return found


def _fixed(rows: Sequence[Sequence[Fraction]]) -> Matrix:
    return tuple(tuple(row) for row in rows)


def transposed(matrix: Matrix) -> Matrix:
    """The matrix with rows as columns."""
    return tuple(zip(*matrix, strict=True))


def both_sides(
    code: Code,
    matrix: Matrix,
    load: Callable[[int, Value], Value],
    store: Callable[[Value, int, Value], None],
) -> None:
    """Writes `matrix @ block @ matrix.T`, for a square block of vectors.

    Columns, and then rows, are done one by one in loops: as the block has more vectors than there
    are registers, what is in between would go through memory anyhow.

    Args:
        code: where to write.
        matrix: applied to the columns and to the rows.
        load: gives the vector of a row and a column.
        store: called with the row, the column and the vector of the result.
    """
    size = len(matrix[0])
    lanes = code.lanes
    between = code.local("float32", len(matrix) * size * lanes)
    with code.loop(0, size) as j:
        column = applied(code, matrix, [load(i, j) for i in range(size)])
        for i, value in enumerate(column):
            code.store(value, between, (j + i * size) * lanes)
    with code.loop(0, len(matrix)) as i:
        place = i * (size * lanes)
        row = [code.load(between, place + j * lanes, "float32", lanes) for j in range(size)]
        for j, value in enumerate(applied(code, matrix, row)):
            store(i, j, value)


def applied(code: Code, matrix: Matrix, values: Sequence[Value]) -> list[Value]:
    """`matrix @ values`. Columns, or rows, that differ only in signs share what they can."""
    columns = transposed(matrix)
    pair = _mirrored(columns)
    if pair is not None:
        i, j = pair
        # The sum of the two values for the rows with equal signs, the difference for the others.
        rest = [k for k in range(len(columns)) if k not in pair]
        even = [a if a == b else Fraction(0) for a, b in zip(columns[i], columns[j], strict=True)]
        odd = [a if a != b else Fraction(0) for a, b in zip(columns[i], columns[j], strict=True)]
        smaller = transposed(_fixed([even, odd, *[columns[k] for k in rest]]))
        a, b = values[i], values[j]
        return applied(code, smaller, [a + b, a - b, *[values[k] for k in rest]])
    found: dict[int, Value] = {}
    while len(found) < len(matrix):
        left = [i for i in range(len(matrix)) if i not in found]
        pair = _mirrored([matrix[i] for i in left])
        if pair is None:
            found.update({i: _sum(code, matrix[i], values) for i in left})
            break
        i, j = left[pair[0]], left[pair[1]]
        even = [a if a == b else Fraction(0) for a, b in zip(matrix[i], matrix[j], strict=True)]
        odd = [a if a != b else Fraction(0) for a, b in zip(matrix[i], matrix[j], strict=True)]
        unit = abs([c for c in odd if c][-1])
        total = _sum(code, even, values)
        part = _sum(code, [c / unit for c in odd], values)
        for row, sign in ((i, 1), (j, -1)):
            found[row] = _plus(code, total, unit * sign, part)
    return [found[i] for i in range(len(matrix))]


def _mirrored(rows: Sequence[Sequence[Fraction]]) -> tuple[int, int] | None:
    """Two rows whose numbers have the same sizes, some but not all of them other signs."""
    for i, row in enumerate(rows):
        for j in range(i + 1, len(rows)):
            pairs = [(a, b) for a, b in zip(row, rows[j], strict=True) if a or b]
            equal = sum(a == b for a, b in pairs)
            if all(abs(a) == abs(b) for a, b in pairs) and 0 < equal < len(pairs):
                return i, j
    return None


def _sum(code: Code, factors: Sequence[Fraction], values: Sequence[Value]) -> Value:
    """The sum of values times factors."""
    terms = [(c, v) for c, v in zip(factors, values, strict=True) if c]
    # What needs no multiplication comes first, to begin with.
    terms.sort(key=lambda term: (abs(term[0]) != 1, term[0] != 1))
    factor, total = terms[0]
    if factor != 1:
        total = -total if factor == -1 else total * float(factor)
    for factor, value in terms[1:]:
        total = _plus(code, total, factor, value)
    return total


def _plus(code: Code, total: Value, factor: Fraction, value: Value) -> Value:
    """`total + factor * value`."""
    if abs(factor) == 1:
        return total + value if factor == 1 else total - value
    return code.fma(value, float(factor), total)
