"""Products whose columns leave out the taps of the first axis: shifted, they are the same rows.

So there is less to gather, and products of few channels are small enough for OpenBLAS's kernels for
those. For each tap of the first axis there is one product, and an addition.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from kbackend.engine.program import Spec
from kbackend_numpy.kernels.conv_axes import Axis
from kbackend_numpy.kernels.conv_columns import BLOCK, LONG_RUN, Block
from kbackend_numpy.kernels.conv_products import (
    ROWS,
    SMALL,
    SUMMED_ROWS,
    Blocks,
    Correlation,
    FilterGradient,
    piece_of,
)

Array = Any


class _Shifts:
    """How the taps of the first axis lie in the columns of whole images."""

    def __init__(self, axes: tuple[Axis, ...]) -> None:
        first, *others = axes
        width = prod(axis.positions for axis in others)
        self.source = first.reach(first.positions) * width
        self.rows = first.positions * width
        self.starts = [i * first.dilation * width for i in range(first.taps)]
        # The first axis as one of single taps that passes over all elements.
        reach = first.reach(first.positions)
        self.axes = (Axis(first.size, reach, 1, start=first.start), *others)

    def views(self, matrix: Array) -> list[Array]:
        """For each tap its columns, `(images, rows, taps)`."""
        by_image = matrix.reshape(-1, self.source, matrix.shape[-1])
        return [by_image[:, start : start + self.rows] for start in self.starts]


def _pays(x: Spec, axes: tuple[Axis, ...], groups: int, filters: int, rows: int) -> bool:
    """Whether pieces of so many rows are small products, and images are gathered as a whole.

    And either they are small only so, or there is much to gather and little to add.
    """
    taps = x.shape[-1] * prod(axis.taps for axis in axes[1:])
    size = taps * filters * rows
    image = _Shifts(axes).source * taps * np.dtype(x.dtype).itemsize
    return (
        groups == axes[0].stride == 1
        and axes[0].taps > 1
        and LONG_RUN <= taps
        and size <= SMALL
        and (size * axes[0].taps > SMALL or taps > 2 * filters)
        and image <= BLOCK
    )


class _RowCorrelation(Correlation):
    """See `Correlation`."""

    def __init__(
        self, x: Spec, axes: tuple[Axis, ...], filters: int, workers: int, view: bool
    ) -> None:
        self._shifts = _Shifts(axes)
        Blocks.__init__(self, x, self._shifts.axes, 1, filters, workers)
        rows = self._shifts.rows
        self._piece = piece_of(rows, self.columns.taps * filters, ROWS)
        size = self.columns.rows // self._shifts.source * rows * filters
        self._planned(x.dtype, size, view, spare=size)

    def _multiply(self, matrix: Array, filters: Array, result: Array, spare: Array) -> None:
        by_tap = filters.reshape(-1, self.columns.taps, self.filters)
        total = result.reshape(-1, self._shifts.rows, self.filters)
        product = spare[: total.size].reshape(total.shape)
        first, *others = self._shifts.views(matrix)
        self._products(first, by_tap[0], total)
        for rows, taps in zip(others, by_tap[1:], strict=True):
            self._products(rows, taps, product)
            np.add(total, product, out=total)


class _RowFilterGradient(FilterGradient):
    """See `FilterGradient`."""

    def __init__(self, x: Spec, axes: tuple[Axis, ...], filters: int, workers: int) -> None:
        self._shifts = _Shifts(axes)
        Blocks.__init__(self, x, self._shifts.axes, 1, filters, workers)
        taps = self.columns.taps
        self._piece = piece_of(self._shifts.rows, taps * filters, SUMMED_ROWS)
        images = self.columns.rows // self._shifts.source
        self._planned(x.dtype, (axes[0].taps, taps, filters), images, self._shifts.rows)

    def _store(self, out: Array, total: Array) -> None:
        np.copyto(out.reshape(total.shape), total)

    def _add_up(self, matrix: Array, g: Array, block: Block, into: Array, products: Array) -> None:
        cotangent = g[block.low : block.high].reshape(-1, self._shifts.rows, self.filters)
        for rows, part in zip(self._shifts.views(matrix), into, strict=True):
            np.add.reduce(self._products(rows, cotangent, products), axis=(0, 1), out=part)


def correlation(
    x: Spec, axes: tuple[Axis, ...], groups: int, filters: int, workers: int, view: bool = False
) -> Correlation:
    """A `Correlation` in the form that suits it."""
    if _pays(x, axes, groups, filters, 2 * ROWS):
        return _RowCorrelation(x, axes, filters, workers, view)
    return Correlation(x, axes, groups, filters, workers, view)


def filter_gradient(
    x: Spec, axes: tuple[Axis, ...], groups: int, filters: int, workers: int
) -> FilterGradient:
    """A `FilterGradient` in the form that suits it."""
    if _pays(x, axes, groups, filters, SUMMED_ROWS):
        return _RowFilterGradient(x, axes, filters, workers)
    return FilterGradient(x, axes, groups, filters, workers)
