"""Normalisation where each row has its own statistics, as in layer normalisation.

What differs from row to row is spread over a block first: two passes over arrays of one shape are
faster than one that broadcasts along short rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kbackend_numpy.kernels.buffering import BUFFER, short_buffer
from kbackend_numpy.kernels.normalization_plan import Cut, Plan, joined, ones

Array = Any

# Nanoseconds per element, roughly.
_FORWARD, _BACKWARD = 1.2, 2.4


def _spread(column: Array, out: Array) -> Array:
    """Each row's element, all over the row."""
    np.copyto(out, column[:, None])
    return out


def _halved(row: Array | None, halves: Array) -> Array | None:
    """The half of a row, twice, for `_outer`."""
    return None if row is None else np.multiply(row, 0.5, out=halves)


def _outer(pair: Array, halves: Array | None, out: Array) -> Array:
    """The products of a column, which `pair` has twice, and a row, which is ones if `None`."""
    if halves is None:
        return _spread(pair[0], out)
    # A sum of two halves takes half the time of one product: for that, `matmul` would not ask BLAS,
    # and `dot` clears the result first.
    return np.matmul(pair.T, halves, out=out)


def _add_row(block: Array, row: Array, tiled: Array) -> None:
    """Adds a row to all rows; `tiled` is it, repeated."""
    if len(block) * len(row) % len(tiled):
        block += row
    else:
        wide = block.reshape(-1, len(tiled))
        np.add(wide, tiled, out=wide)


def _tiled(row: Array, memory: Array) -> Array:
    np.copyto(memory.reshape(-1, len(row)), row)
    return memory


def _blocks(cut: Cut, part: int, spare: Array) -> Iterator[tuple[slice, list[Array]]]:
    """The rows of each block, and the part's scratch blocks for them."""
    for first, stop in cut.parts[part]:
        yield slice(first, stop), [block[: stop - first] for block in spare[part]]


def standardize(rows: int, columns: int, dtype: Any) -> Plan:
    """`run(x, scale, offset, epsilon, y, mean, variance, *scratch)`"""
    cut = Cut(rows, columns, dtype.itemsize, _FORWARD)
    share, n = np.full(columns, 1 / columns, dtype), np.array(columns, dtype)
    count = joined(cut.step, columns, BUFFER)

    def run(
        x: Array, scale: Array, offset: Array, epsilon: Any,
        y: Array, mean: Array, variance: Array,
        spare: Array, inverses: Array, halves: Array, tiled: Array,
    ) -> None:  # fmt: skip
        factors = _halved(scale, halves)
        if offset is not None:
            _tiled(offset, tiled)

        def part(index: int) -> None:
            for at, (outer,) in _blocks(cut, index, spare):
                out, m, v, inverse = y[at], mean[at], variance[at], inverses[:, at]
                np.dot(x[at], share, out=m)
                np.subtract(x[at], _spread(m, out), out=out)
                np.vecdot(out, out, out=v)
                np.divide(v, n, out=v)
                np.add(v, epsilon, out=inverse)
                np.sqrt(inverse, out=inverse)
                np.reciprocal(inverse, out=inverse)
                np.multiply(out, _outer(inverse, factors, outer), out=out)
                if offset is not None:
                    _add_row(out, offset, tiled)

        # To set another buffer takes longer than a short call, so it is done only where it helps.
        cut.run(part if offset is None or len(tiled) >= BUFFER else short_buffer(part))

    spare = (len(cut.parts), 1, cut.step, columns)
    return Plan(run, (spare, (2, rows), (2, columns), (count * columns,)), cut.work)


def standardize_grad(rows: int, columns: int, dtype: Any) -> Plan:
    """`run(g, g_mean, g_variance, x, mean, variance, scale, epsilon, dx, d_scale, d_offset, …)`

    Of the results those that are `None` are not computed.
    """
    cut = Cut(rows, columns, dtype.itemsize, _BACKWARD)
    one, n = ones(columns, dtype), np.array(columns, dtype)
    ones_of_rows = ones(cut.step, dtype)
    two = np.array(2, dtype)

    def run(
        g: Array, g_mean: Array, g_variance: Array, x: Array, mean: Array, variance: Array,
        scale: Array, epsilon: Any, dx: Array, d_scale: Array, d_offset: Array,
        spare: Array, sums: Array, vectors: Array, halves: Array,
    ) -> None:  # fmt: skip
        factors, halved = one if scale is None else scale, _halved(scale, halves)
        sums[...] = 0

        def part(index: int) -> None:
            scale_sum, offset_sum, row = sums[index]
            for at, (c, w) in _blocks(cut, index, spare):
                given = g[at]
                pair = vectors[:2, at]
                inverse, along, level = vectors[1:, at]
                np.add(variance[at], epsilon, out=pair)
                np.sqrt(pair, out=pair)
                np.reciprocal(pair, out=pair)
                np.subtract(x[at], _spread(mean[at], c), out=c)
                np.multiply(given, c, out=w)
                if d_scale is not None:
                    np.add(scale_sum, np.dot(inverse, w, out=row), out=scale_sum)
                if d_offset is not None:
                    np.dot(ones_of_rows[: len(given)], given, out=row)
                    np.add(offset_sum, row, out=offset_sum)
                if dx is None:
                    continue
                # c * (2 g_variance - along) / n + (g_mean - inverse * sum) / n + g * scale / std
                np.dot(w, factors, out=along)
                for _ in range(3):
                    np.multiply(along, inverse, out=along)
                np.multiply(g_variance[at], two, out=level)
                np.subtract(level, along, out=along)
                np.divide(along, n, out=along)
                np.dot(given, factors, out=level)
                np.multiply(level, inverse, out=level)
                np.subtract(g_mean[at], level, out=level)
                np.divide(level, n, out=level)
                out = dx[at]
                np.multiply(given, _outer(pair, halved, w), out=out)
                np.multiply(c, _spread(along, w), out=c)
                np.add(out, c, out=out)
                np.add(out, _spread(level, w), out=out)

        cut.run(part)
        for index in range(1, len(cut.parts)):
            np.add(sums[0], sums[index], out=sums[0])
        if d_scale is not None:
            np.copyto(d_scale, sums[0, 0])
        if d_offset is not None:
            np.copyto(d_offset, sums[0, 1])

    parts = len(cut.parts)
    spare = (parts, 2, cut.step, columns)
    return Plan(run, (spare, (parts, 3, columns), (4, rows), (2, columns)), cut.work)


def rms(rows: int, columns: int, dtype: Any) -> Plan:
    """`run(x, scale, epsilon, y, inverse, *scratch)`"""
    cut = Cut(rows, columns, dtype.itemsize, _FORWARD)
    n = np.array(columns, dtype)

    def run(
        x: Array, scale: Array, epsilon: Any, y: Array, inverses: Array,
        spare: Array, pairs: Array, halves: Array,
    ) -> None:  # fmt: skip
        halved = _halved(scale, halves)

        def part(index: int) -> None:
            for at, (outer,) in _blocks(cut, index, spare):
                block, inverse = x[at], inverses[at]
                np.vecdot(block, block, out=inverse)
                np.divide(inverse, n, out=inverse)
                np.add(inverse, epsilon, out=inverse)
                np.sqrt(inverse, out=inverse)
                pair = np.reciprocal(inverse, out=pairs[:, at])
                np.copyto(inverse, pair[0])
                np.multiply(block, _outer(pair, halved, outer), out=y[at])

        cut.run(part)

    spare = (len(cut.parts), 1, cut.step, columns)
    return Plan(run, (spare, (2, rows), (2, columns)), cut.work)


def rms_grad(rows: int, columns: int, dtype: Any) -> Plan:
    """`run(g, g_inverse, x, inverse, scale, dx, d_scale, *scratch)`; see `standardize_grad`."""
    cut = Cut(rows, columns, dtype.itemsize, _BACKWARD)
    one, n = ones(columns, dtype), np.array(columns, dtype)

    def run(
        g: Array, g_inverse: Array, x: Array, inverses: Array, scale: Array,
        dx: Array, d_scale: Array,
        spare: Array, sums: Array, vectors: Array, halves: Array,
    ) -> None:  # fmt: skip
        factors, halved = one if scale is None else scale, _halved(scale, halves)
        sums[...] = 0

        def part(index: int) -> None:
            scale_sum, row = sums[index]
            for at, (w, outer) in _blocks(cut, index, spare):
                given, block, inverse, slope = g[at], x[at], inverses[at], vectors[0, at]
                pair = vectors[1:, at]
                np.multiply(given, block, out=w)
                if d_scale is not None:
                    np.add(scale_sum, np.dot(inverse, w, out=row), out=scale_sum)
                if dx is None:
                    continue
                np.dot(w, factors, out=slope)
                np.add(slope, g_inverse[at], out=slope)
                np.divide(slope, n, out=slope)
                for _ in range(3):
                    np.multiply(slope, inverse, out=slope)
                out = dx[at]
                np.copyto(pair, inverse)
                np.multiply(given, _outer(pair, halved, outer), out=out)
                np.multiply(block, _spread(slope, w), out=w)
                np.subtract(out, w, out=out)

        cut.run(part)
        if d_scale is not None:
            for index in range(1, len(cut.parts)):
                np.add(sums[0], sums[index], out=sums[0])
            np.copyto(d_scale, sums[0, 0])

    parts = len(cut.parts)
    spare = (parts, 2, cut.step, columns)
    return Plan(run, (spare, (parts, 2, columns), (3, rows), (2, columns)), cut.work)
