"""Normalisation where each column has its own statistics, as in batch normalisation, channels last.

Elementwise, rows are joined until they are long enough for inner loops. The variance comes from
differences to the mean of a sample of the rows: a large mean costs no digits, and one pass is
enough. Vectors of a row's length are made as they are needed; they are small beside the matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend_numpy.kernels.buffering import short_buffer
from kbackend_numpy.kernels.normalization_plan import Cut, Plan, joined, ones

Array = Any

# Nanoseconds per element, roughly.
_FORWARD, _BACKWARD, _APPLY = 1.2, 1.6, 0.5


def _tile(row: Array, count: int) -> Array:
    """A parameter of single rows, if there is one, for `count` joined rows."""
    if row is None or count == 1:
        return row
    wide = np.empty((count, len(row)), row.dtype)
    wide[...] = row
    return wide.reshape(-1)


class _Joined:
    """A matrix with joined rows, cut into parts and blocks."""

    def __init__(self, rows: int, columns: int, dtype: Any, cost: float) -> None:
        self.rows, self.columns = rows, columns
        self.count = joined(rows, columns)
        self.shape = rows // self.count, columns * self.count
        self.cut = Cut(*self.shape, dtype.itemsize, cost)
        self.parts = len(self.cut.parts)
        self.ones = ones(self.cut.step * self.count, dtype)
        # Scratch blocks of the parts.
        self.scratch = (self.parts, self.cut.step, self.shape[1])

    def sums(self, block: Array, out: Array | None) -> Array:
        """Sums of the columns of a block of joined rows."""
        single = block.reshape(-1, self.columns)
        return np.dot(self.ones[: len(single)], single, out=out)

    def sample_mean(self, x: Array, spare: Array) -> Array:
        """The mean of rows from all over the matrix, at most those of a block."""
        some = x.reshape(self.shape)[:: -(-self.shape[0] // self.cut.step)]
        sample = spare[0, : len(some)]
        np.copyto(sample, some)
        return self.sums(sample, None) / (len(some) * self.count)

    def moments(self, x: Array, spare: Array, sums: Array) -> tuple[Array, Array]:
        """Means and variances of the columns."""
        shift, x = self.sample_mean(x, spare), x.reshape(self.shape)
        wide = _tile(shift, self.count)
        sums[...] = 0

        def part(index: int) -> None:
            total, squares, row = sums[index]
            for first, stop in self.cut.parts[index]:
                c = np.subtract(x[first:stop], wide, out=spare[index, : stop - first])
                np.add(total, self.sums(c, row), out=total)
                np.multiply(c, c, out=c)
                np.add(squares, self.sums(c, row), out=squares)

        self.cut.run(short_buffer(part))
        for index in range(1, self.parts):
            np.add(sums[0], sums[index], out=sums[0])
        apart, square = sums[0, :2] / self.rows
        return shift + apart, square - apart * apart

    def apply(self, x: Array, mean: Array, factor: Array, offset: Array, y: Array) -> None:
        """(x - mean) * factor + offset into y"""
        x, y = x.reshape(self.shape), y.reshape(self.shape)
        mean, factor, offset = (_tile(v, self.count) for v in (mean, factor, offset))

        def part(index: int) -> None:
            for first, stop in self.cut.parts[index]:
                out = np.subtract(x[first:stop], mean, out=y[first:stop])
                np.multiply(out, factor, out=out)
                if offset is not None:
                    np.add(out, offset, out=out)

        self.cut.run(short_buffer(part))


def apply(rows: int, columns: int, dtype: Any) -> Plan:
    """`run(x, mean, factor, offset, y)`"""
    plan = _Joined(rows, columns, dtype, _APPLY)
    return Plan(plan.apply, (), plan.cut.work)


def standardize(rows: int, columns: int, dtype: Any) -> Plan:
    """`run(x, scale, offset, epsilon, y, mean, variance, *scratch)`"""
    plan = _Joined(rows, columns, dtype, _FORWARD)

    def run(
        x: Array, scale: Array, offset: Array, epsilon: Any,
        y: Array, mean: Array, variance: Array, spare: Array, sums: Array,
    ) -> None:  # fmt: skip
        mean[...], variance[...] = plan.moments(x, spare, sums)
        factor = 1 / np.sqrt(variance + epsilon)
        if scale is not None:
            factor *= scale
        plan.apply(x, mean, factor, offset, y)

    return Plan(run, (plan.scratch, (plan.parts, 3, columns)), plan.cut.work)


def standardize_grad(rows: int, columns: int, dtype: Any) -> Plan:
    """`run(g, g_mean, g_variance, x, mean, variance, scale, epsilon, dx, d_scale, d_offset, …)`

    Of the results those that are `None` are not computed.
    """
    plan = _Joined(rows, columns, dtype, _BACKWARD)
    count = plan.count

    def run(
        g: Array, g_mean: Array, g_variance: Array, x: Array, mean: Array, variance: Array,
        scale: Array, epsilon: Any, dx: Array, d_scale: Array, d_offset: Array,
        spare: Array, sums: Array,
    ) -> None:  # fmt: skip
        wide, given, middle = x.reshape(plan.shape), g.reshape(plan.shape), _tile(mean, count)
        sums[...] = 0

        def add_up(index: int) -> None:
            total, along, row = sums[index]
            for first, stop in plan.cut.parts[index]:
                gs = given[first:stop]
                np.add(total, plan.sums(gs, row), out=total)
                c = np.subtract(wide[first:stop], middle, out=spare[index, : stop - first])
                np.multiply(c, gs, out=c)
                np.add(along, plan.sums(c, row), out=along)

        plan.cut.run(short_buffer(add_up))
        for index in range(1, plan.parts):
            np.add(sums[0], sums[index], out=sums[0])
        total, along, _ = sums[0]
        inverse = 1 / np.sqrt(variance + epsilon)
        if d_scale is not None:
            np.multiply(along, inverse, out=d_scale)
        if d_offset is not None:
            np.copyto(d_offset, total)
        if dx is None:
            return
        factor = inverse if scale is None else inverse * scale
        slope = _tile((2 * g_variance - along * factor * (inverse * inverse)) / rows, count)
        level = _tile((g_mean - factor * total) / rows, count)
        factor, out = _tile(factor, count), dx.reshape(plan.shape)

        def spread(index: int) -> None:
            for first, stop in plan.cut.parts[index]:
                into = np.multiply(given[first:stop], factor, out=out[first:stop])
                c = np.subtract(wide[first:stop], middle, out=spare[index, : stop - first])
                np.multiply(c, slope, out=c)
                np.add(into, c, out=into)
                np.add(into, level, out=into)

        plan.cut.run(short_buffer(spread))

    return Plan(run, (plan.scratch, (plan.parts, 3, columns)), plan.cut.work)
