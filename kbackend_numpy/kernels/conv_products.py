"""Products of columns with filters and with cotangents, split over the threads.

OpenBLAS has kernels for small products that need no copies of the operands. Where rows are few
channels long they are up to a half faster, so a block is multiplied as a stack of small products.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from kbackend.engine.program import Spec
from kbackend_numpy import threads
from kbackend_numpy.kernels.conv_axes import Axis
from kbackend_numpy.kernels.conv_columns import Block, Columns
from kbackend_numpy.kernels.parts import PARTS, run_parts

Array = Any
Ints = tuple[int, ...]

# Multiplications up to which OpenBLAS takes a product as small.
SMALL = 1_000_000
# Pieces of fewer rows gain nothing; a sum of products must also be worth the adding.
ROWS = 32
SUMMED_ROWS = 128
_NANOSECONDS_PER_PRODUCT = 2 / 125
_NANOSECONDS_PER_COPY = 0.2


def piece_of(rows: int, size: int, least: int) -> int:
    """Rows of the pieces in which a matrix of `rows` rows is multiplied, `size` products a row."""
    most = SMALL // size
    if most < least or rows <= most:
        return rows
    pieces = -(-rows // most)
    return min(most, -(-rows // pieces // 8) * 8)


def pieces(matrix: Array, piece: int) -> list[Array]:
    """`(groups, rows, columns)` as stacks of matrices of `piece` rows: most, and the rest."""
    groups, rows, columns = matrix.shape
    whole = rows // piece * piece
    stacks = [matrix[:, :whole].reshape(groups, -1, piece, columns)] if whole else []
    return stacks + ([matrix[:, None, whole:]] if whole < rows else [])


def nanoseconds(batch: int, axes: tuple[Axis, ...], channels: int, filters: int) -> float:
    """What a product takes on one thread, for `channels` and `filters` of one group."""
    taps = batch * channels * prod(axis.positions * axis.taps for axis in axes)
    return taps * (_NANOSECONDS_PER_COPY + filters * _NANOSECONDS_PER_PRODUCT)


class Blocks:
    """What products have in common: the columns of `x`, handed out in parts to some workers."""

    def __init__(
        self, x: Spec, axes: tuple[Axis, ...], groups: int, filters: int, workers: int
    ) -> None:
        self.columns = Columns(x, axes, groups)
        self.groups, self.filters, self.workers = groups, filters // groups, workers
        self.scratch = tuple(
            Spec((workers, *spec.shape), spec.dtype) for spec in self.columns.scratch
        )

    def ranges(self, per_worker: int) -> list[tuple[int, int]]:
        """The blocks of each part."""
        parts = per_worker * self.workers if self.workers > 1 else 1
        return threads.ranges(len(self.columns.blocks), parts)

    def rows_of(self, a: Array) -> Array:
        """A contiguous `(batch, *positions, filters)` as `(groups, rows, filters)`."""
        return a.reshape(-1, self.groups, self.filters).swapaxes(0, 1)


class Correlation(Blocks):
    """The correlation of an array with filters `(groups, taps, filters)`, in blocks.

    The result goes to a contiguous array `(batch, *positions, filters)`, or by way of scratch
    memory to a view of one.
    """

    def __init__(
        self,
        x: Spec,
        axes: tuple[Axis, ...],
        groups: int,
        filters: int,
        workers: int,
        view: bool = False,
    ) -> None:
        super().__init__(x, axes, groups, filters, workers)
        self._piece = piece_of(self.columns.rows, self.columns.taps * self.filters, ROWS)
        self._planned(x.dtype, self.columns.rows * filters, view)

    def _planned(self, dtype: str, size: int, view: bool, spare: int = 0) -> None:
        """Plans parts, and scratch memory for results of a size and for spare ones."""
        self._view = view
        self.scratch += tuple(Spec((self.workers, n), dtype) for n in (size if view else 0, spare))
        self._ranges = self.ranges(PARTS)
        self.parts = len(self._ranges)

    def run_part(
        self,
        index: int,
        worker: int,
        out: Array,
        x: Array,
        filters: Array,
        scratch: tuple[Array, ...],
    ) -> None:
        """Computes one of `parts` parts of `out`."""
        padded, gathered, results, spare = (a[worker] for a in scratch)
        self.columns.clear(padded)
        for block in self.columns.blocks[slice(*self._ranges[index])]:
            matrix = self.columns.gather(x, block, padded, gathered)
            target = out[block.low : block.high, block.first : block.last]
            result = results[: target.size].reshape(target.shape) if self._view else target
            self._multiply(matrix, filters, result, spare)
            if self._view:
                np.copyto(target, result)

    def _multiply(self, matrix: Array, filters: Array, result: Array, spare: Array) -> None:
        """Writes the block's contiguous result."""
        self._products(matrix, filters[:, None], self.rows_of(result))

    def _products(self, matrix: Array, filters: Array, into: Array) -> None:
        for a, b in zip(pieces(matrix, self._piece), pieces(into, self._piece), strict=True):
            np.matmul(a, filters, out=b)


class FilterGradient(Blocks):
    """The sum over all positions of windows times cotangents, `(groups, taps, filters)`.

    Each part has a sum of its own. These are added in one order, so that results do not depend on
    which thread was faster.
    """

    def __init__(
        self, x: Spec, axes: tuple[Axis, ...], groups: int, filters: int, workers: int
    ) -> None:
        super().__init__(x, axes, groups, filters, workers)
        size = self.columns.taps * self.filters
        self._piece = piece_of(self.columns.rows, size, SUMMED_ROWS)
        self._planned(x.dtype, (groups, self.columns.taps, self.filters), groups, self.columns.rows)

    def _planned(self, dtype: str, shape: Ints, stacks: int, rows: int) -> None:
        """Plans sums of `shape`, of the products of so many stacks of rows at a time."""
        self._ranges = self.ranges(2)
        self.parts = len(self._ranges)
        count = stacks * -(-rows // self._piece)
        self.scratch += (
            Spec((self.workers, count * shape[1] * shape[2]), dtype),
            Spec((self.workers, *shape), dtype),
            Spec((self.parts, *shape), dtype),
        )

    def run(self, out: Array, x: Array, g: Array, *scratch: Array) -> None:
        """Computes the gradient into `out`, `(*window, channels / groups, filters)`."""
        padded, gathered, products, sums, totals = scratch

        def part(index: int, worker: int) -> None:
            self.columns.clear(padded[worker])
            total = totals[index]
            first = True
            for block in self.columns.blocks[slice(*self._ranges[index])]:
                matrix = self.columns.gather(x, block, padded[worker], gathered[worker])
                into = total if first else sums[worker]
                self._add_up(matrix, g, block, into, products[worker])
                if not first:
                    np.add(total, into, out=total)
                first = False

        run_parts(part, self.parts, self.workers)
        for other in totals[1:]:
            np.add(totals[0], other, out=totals[0])
        self._store(out, totals[0])

    def _store(self, out: Array, total: Array) -> None:
        np.copyto(out.reshape(-1, self.groups, self.filters).swapaxes(0, 1), total)

    def _add_up(self, matrix: Array, g: Array, block: Block, into: Array, products: Array) -> None:
        """The block's sum."""
        cotangent = self.rows_of(g[block.low : block.high, block.first : block.last])
        if matrix.shape[1] <= self._piece:
            np.matmul(matrix.swapaxes(-1, -2), cotangent, out=into)
        else:
            np.add.reduce(self._products(matrix, cotangent, products), axis=1, out=into)

    def _products(self, matrix: Array, g: Array, products: Array) -> Array:
        """`(stacks, pieces, taps, filters)` from matrices `(stacks, rows, taps or filters)`."""
        stacks, rows, taps = matrix.shape
        shape = (stacks, -(-rows // self._piece), taps, g.shape[-1])
        out = products[: prod(shape)].reshape(shape)
        start = 0
        for a, b in zip(pieces(matrix, self._piece), pieces(g, self._piece), strict=True):
            stop = start + a.shape[1]
            np.matmul(a.swapaxes(-1, -2), b, out=out[:, start:stop])
            start = stop
        return out
