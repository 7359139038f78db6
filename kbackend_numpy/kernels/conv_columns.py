"""Correlation as matrix products: the windows of a block of positions, gathered as a matrix.

Blocks are images, or rows of an image, so small that what is gathered stays in a core's level 2
cache until the product has used it. Only a block's own source is padded, never a whole batch.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from kbackend.engine.program import Spec
from kbackend_numpy.kernels.conv_axes import Axis

Array = Any
Ints = tuple[int, ...]

# Bytes of a block's columns: half of a level 2 cache, the rest is for filters and results.
BLOCK = 1 << 20
# Shorter runs copy slowly: then columns lie along the positions instead.
LONG_RUN = 16


def _overlap(first: int, length: int, size: int) -> tuple[slice, slice]:
    """Of `length` elements from `first`: which of a source of `size`, and where these are."""
    low = min(max(first, 0), size)
    high = min(max(first + length, low), size)
    return slice(low, high), slice(low - first, high - first)


def _row_major(shape: Ints) -> Ints:
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


class Block(NamedTuple):
    """Images `low` to `high`, and of their positions the rows `first` to `last`."""

    low: int
    high: int
    first: int
    last: int


class Columns:
    """The windows of a contiguous array `(batch, *space, channels)`, block by block, as matrices.

    Attributes:
        blocks: what is gathered at a time.
        taps: elements of one window in one group: the matrices' columns.
        rows: positions in the largest block.
        scratch: what one worker needs: padded source and columns, perhaps of no elements.
    """

    def __init__(self, x: Spec, axes: tuple[Axis, ...], groups: int = 1) -> None:
        n, channels = x.shape[0], x.shape[-1]
        inner = channels // groups
        window = tuple(a.taps for a in axes)
        rest = tuple(a.positions for a in axes[1:])
        self._axes, self._groups, self._inner, self._rest = axes, groups, inner, rest
        self._dtype = np.dtype(x.dtype)
        self.taps = prod(window) * inner
        steps = [(a.stride, a.dilation) for a in axes]
        self._as_is = self.taps == inner and all(
            a.inside and a.stride == 1 and a.positions == a.size for a in axes
        )
        run = channels * (window[-1] if axes[-1].dilation == 1 else 1)
        self._along = groups == 1 and run < LONG_RUN and not self._as_is
        self._copied = not all(a.inside for a in axes) or (self._along and channels > 1)

        row = prod(rest) * self.taps * groups * self._dtype.itemsize
        images = max(1, min(n, BLOCK // max(row * axes[0].positions, 1)))
        height = axes[0].positions if images > 1 else max(1, min(axes[0].positions, BLOCK // row))
        self.blocks = tuple(
            Block(i, min(i + images, n), r, min(r + height, axes[0].positions))
            for i, r in product(range(0, n, images), range(0, axes[0].positions, height))
        )
        self.rows = images * height * prod(rest)

        lengths = (axes[0].reach(height), *(a.reach(a.positions) for a in axes[1:]))
        if self._along:
            self._padded_shape: Ints = (channels, images, *lengths)
        else:
            self._padded_shape = (images, *lengths, channels)
        source = self._padded_shape if self._copied else x.shape
        strides = _row_major(source)
        if self._along and self._copied:
            of_channel, of_image, *pixel = strides
        else:
            of_image, *pixel, of_channel = strides
        hops = tuple(p * s for p, (s, _) in zip(pixel, steps, strict=True))
        taps = tuple(p * d for p, (_, d) in zip(pixel, steps, strict=True))
        if self._along:
            order = (*taps, of_channel, of_image, *hops)
        else:
            order = (of_channel * inner, of_image, *hops, *taps, of_channel)
        self._strides = tuple(s * self._dtype.itemsize for s in order)
        self._window, self._pixel, self._of_image = window, tuple(pixel), of_image
        self._edges = [_overlap(a.start, a.reach(a.positions), a.size) for a in axes[1:]]
        padded = prod(self._padded_shape) if self._copied else 0
        columns = 0 if self._as_is else self.rows * self.taps * groups
        self.scratch = (Spec((padded,), x.dtype), Spec((columns,), x.dtype))

    def clear(self, padded: Array) -> None:
        """Makes the scratch memory for padded sources ready for the first block."""
        if self._copied:
            padded.fill(0)

    def gather(self, x: Array, block: Block, padded: Array, columns: Array) -> Array:
        """The block's windows as `(groups, positions, taps)`: a view of `columns`, or of x."""
        images, height = block.high - block.low, block.last - block.first
        rows = images * height * prod(self._rest)
        if self._as_is:
            part = x[block.low : block.high, block.first : block.last]
            return part.reshape(rows, self._groups, self._inner).swapaxes(0, 1)
        if self._copied:
            source, offset = self._pad(x, block, padded), 0
        else:
            first = self._axes[0].start + block.first * self._axes[0].stride
            starts = (first, *(a.start for a in self._axes[1:]))
            offset = block.low * self._of_image
            offset += sum(s * p for s, p in zip(starts, self._pixel, strict=True))
            source, offset = x, offset * self._dtype.itemsize
        size = (images, height, *self._rest)
        if self._along:
            shape = (*self._window, self._inner, *size)
        else:
            shape = (self._groups, *size, *self._window, self._inner)
        windows: Array = np.ndarray(shape, self._dtype, source, offset, self._strides)
        into: Array = np.ndarray(shape, self._dtype, columns)
        np.copyto(into, windows)
        if self._along:
            return into.reshape(1, self.taps, rows).swapaxes(1, 2)
        return into.reshape(self._groups, rows, self.taps)

    def _pad(self, x: Array, block: Block, padded: Array) -> Array:
        """The block's source with its padding."""
        head = self._axes[0]
        length = head.reach(block.last - block.first)
        kept, at = _overlap(head.start + block.first * head.stride, length, head.size)
        whole: Array = np.ndarray(self._padded_shape, self._dtype, padded)
        into = np.moveaxis(whole, 0, -1) if self._along else whole
        into = into[: block.high - block.low]
        # Rows above and below differ from block to block, the other borders stay as they are.
        into[:, : at.start] = 0
        into[:, at.stop :] = 0
        into = into[(slice(None), at, *(e[1] for e in self._edges))]
        into[...] = x[(slice(block.low, block.high), kept, *(e[0] for e in self._edges))]
        return whole
