"""Normalisation where each column of a matrix has its own statistics, as in batch normalisation
with channels last; for several matrices at once, as in instance normalisation.

x is read twice: for sums over groups of rows, and to be normalised. The sums are those of
differences to the mean of a few rows, so that a large mean costs no digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kbackend.engine.program import Ints, Prepared
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.columns import Block
from kbackend_numba.codegen.value import Value
from kbackend_numba.kernels.ending import Ending
from kbackend_numba.kernels.normalization_groups import (
    Matrices,
    Share,
    Sizes,
    WriteColumns,
    WriteGroup,
    by_columns,
    by_groups,
    joined,
)
from kbackend_numba.native import Call, native

# ----- statistics -----


def shift(
    first: Value, rows: Value, columns: Value, load: Callable[[Value], list[Value]]
) -> list[Value]:
    """The mean of a few rows, which is near enough to that of all.

    Args:
        first: number of a matrix's first row.
        rows: how many it has.
        columns: how many it has.
        load: reads a row of x that begins at a given element.
    """
    few = [load((first + rows * i // 4) * columns) for i in range(4)]
    return [(a + b + (c + d)) * 0.25 for a, b, c, d in zip(*few, strict=True)]


def moments_of_groups(matrices: Matrices, arrays: Ints) -> Call:
    """The call that writes `partial` from `x`."""
    return by_groups(matrices, "moments of groups", (), _moments_of_group, arrays, 1)


def _moments_of_group(code: Code, sizes: Sizes, share: Share) -> None:
    """Writes `partial` from `x`: sums of the differences to a shift, and of their squares."""
    partial, x = code.array(0), code.array(1)
    columns = sizes.columns

    def block(block: Block) -> None:
        first = share.matrix * sizes.rows
        shifts = shift(first, sizes.rows, columns, lambda row: block.load(x, row))
        zero = code.number(0.0, sizes.dtype, sizes.lanes)
        totals, squares = ([code.var(zero) for _ in shifts] for _ in range(2))
        with code.loop(share.start, share.stop) as row:
            values = block.load(x, row * columns)
            for value, near, total, square in zip(values, shifts, totals, squares, strict=True):
                apart = value - near
                total.set(total.value + apart)
                square.set(code.fma(apart, apart, square.value))
        place = share.group * 2 * columns
        block.store([total.value for total in totals], partial, place)
        block.store([square.value for square in squares], partial, place + columns)

    sizes.each_block(code, share, block)


def _moments(epsilon: float, scaled: bool) -> WriteColumns:
    """Writes `mean, variance, factor` from `partial, x`, and a scale if there is one."""

    def write(
        code: Code, sizes: Sizes, matrix: Value, place: Value, column: Value, mask: Value | None
    ) -> None:
        dtype, lanes = sizes.dtype, sizes.lanes
        n = sizes.rows.cast(dtype)

        def load(row: Value) -> list[Value]:
            return [code.load(code.array(4), row + column, dtype, lanes, mask)]

        (near,) = shift(matrix * sizes.rows, sizes.rows, sizes.columns, load)
        total, squares = joined(code, sizes, 3, matrix * sizes.groups, column, mask)
        apart = total / n
        # Rounding must not make it negative.
        variance = code.maximum(squares / n - apart * apart, 0.0)
        code.store(near + apart, code.array(0), place, mask)
        code.store(variance, code.array(1), place, mask)
        factor = 1.0 / code.call("sqrt", variance + epsilon)
        if scaled:
            factor = factor * code.load(code.array(5), column, dtype, lanes, mask)
        code.store(factor, code.array(2), place, mask)

    return write


# ----- from x to y -----


class Ended(NamedTuple):
    """What becomes of `y`.

    Attributes:
        ending: what to do.
        arrays: places of the arrays that it takes.
    """

    ending: Ending
    arrays: Ints


def standardize(
    matrices: Matrices, epsilon: float, scaled: bool, centred: bool, scratch: int,
    ended: Ended | None = None,
) -> Prepared:  # fmt: skip
    """`y, mean, variance` of `x`, and of scale and offset if there are any. `scratch` is the place
    of the first scratch array."""
    scale, offset = (4,) * scaled, (4 + scaled,) * centred
    partial, factor = scratch, scratch + 1
    key = (epsilon, scaled)
    arrays = (1, 2, factor, partial, 3, *scale)
    calls = [
        moments_of_groups(matrices, (partial, 3)),
        by_columns(matrices, "moments of columns", key, _moments(*key), arrays),
        applied(matrices, (0, 3, 1, factor, *offset), ended),
    ]
    overwrites = _overwrites(ended, outputs=3)
    return native(calls, [matrices.partial(2), matrices.table()], overwrites)


def _overwrites(ended: Ended | None, outputs: int) -> list[tuple[int, int]]:
    """Inputs whose place `y` may take: a part of them is read before it is written."""
    alike = [ended.arrays[i] - outputs for i in ended.ending.alike] if ended else []
    return [(i, 0) for i in (0, *alike)]


def applied(matrices: Matrices, arrays: Ints, ended: Ended | None = None) -> Call:
    """The call that writes `y` from `x, mean, factor`, and an offset if there is one."""
    centred = len(arrays) > 4
    write = _apply(centred, ended and ended.ending)
    key, others = (centred, ended and ended.ending), ended.arrays if ended else ()
    return by_groups(matrices, "apply factors", key, write, (*arrays, *others), 2 + len(others))


def _apply(centred: bool, ending: Ending | None) -> WriteGroup:
    def write(code: Code, sizes: Sizes, share: Share) -> None:
        y, x, mean, factor = (code.array(i) for i in range(4))
        finish = ending and ending.writer(code, 4 + centred)

        def block(block: Block) -> None:
            means, factors = (block.load(a, share.matrix * sizes.columns) for a in (mean, factor))
            offsets = block.load(code.array(4), code.number(0)) if centred else []
            with code.loop(share.start, share.stop) as row:
                place = row * sizes.columns
                values = [v - m for v, m in zip(block.load(x, place), means, strict=True)]
                if centred:
                    three = zip(values, factors, offsets, strict=True)
                    values = [code.fma(v, f, o) for v, f, o in three]
                else:
                    values = [v * f for v, f in zip(values, factors, strict=True)]
                if finish is not None:
                    parts = block.parts(place)
                    values = [finish(v, part) for v, part in zip(values, parts, strict=True)]
                block.store(values, y, place)

        sizes.each_block(code, share, block)

    return write


def batch_normalization(
    matrices: Matrices, epsilon: float, scaled: bool, centred: bool, factor: int,
    ended: Ended | None = None,
) -> Prepared:  # fmt: skip
    """`y` of `x, mean, variance`, and of scale and offset if there are any. `factor` is the place
    of the scratch array."""
    scale, offset = (4,) * scaled, (4 + scaled,) * centred
    calls = [
        factors(matrices, epsilon, (factor, 3, *scale)),
        applied(matrices, (0, 1, 2, factor, *offset), ended),
    ]
    return native(calls, [matrices.table()], _overwrites(ended, outputs=1))


def factors(matrices: Matrices, epsilon: float, arrays: Ints) -> Call:
    """The call that writes `factor` from `variance`, and a scale if there is one."""
    key = (epsilon, len(arrays) > 2)
    return by_columns(matrices, "factors", key, _factors(*key), arrays)


def _factors(epsilon: float, scaled: bool) -> WriteColumns:
    """Writes `factor` from `variance`, and a scale if there is one."""

    def write(
        code: Code, sizes: Sizes, matrix: Value, place: Value, column: Value, mask: Value | None
    ) -> None:
        variance = code.load(code.array(1), column, sizes.dtype, sizes.lanes, mask)
        factor = 1.0 / code.call("sqrt", variance + epsilon)
        if scaled:
            factor = factor * code.load(code.array(2), column, sizes.dtype, sizes.lanes, mask)
        code.store(factor, code.array(0), column, mask)

    return write
