"""Winograd's method for most of a result, and the direct one where it would do too much.

A row or a column that is left over by whole tiles of 4 by 4 would fill a quarter of a tile. Such a
strip is a pass of its own, computed directly.
"""

from __future__ import annotations

from kbackend_numba.kernels import winograd
from kbackend_numba.kernels.conv_direct import FLOPS, Ended, Pass, correlation
from kbackend_numba.kernels.conv_source import three
from kbackend_numba.kernels.conv_weights import Filters
from kbackend_numba.native import Native, native
from kbackend_numpy.kernels.conv_axes import Axis

Ints = tuple[int, ...]


def _part(m: int, size: int) -> int:
    """Results along a dimension that tiles compute."""
    return size - 1 if m > 2 and size % m == 1 and size > 2 * m else size


def cost(m: int, y: Ints, channels: int) -> float:
    """Nanoseconds on one thread, roughly.

    Args:
        m: positions of a tile along each dimension.
        y: shape of the result, `(batch, height, width, filters)`.
        channels: that are summed up for each position.
    """
    height, width = _part(m, y[1]), _part(m, y[2])
    left = y[0] * (y[1] * y[2] - height * width)
    return (
        winograd.cost(m, (y[0], height, width, y[3]), channels)
        + 18 * left * channels * y[3] / FLOPS
    )


def convolution(
    m: int, low: Ints, x: Ints, y: Ints, filters: Filters, turned: bool, ended: Ended
) -> Native:
    """The kernel `y, x, w`, behind which others may stand that its ending takes.

    Args:
        m: positions of a tile along each dimension, 2 or 4.
        low: zeros before the source, along both dimensions.
        x: shape of the source, `(batch, height, 1, width, channels)`.
        y: shape of the result.
        filters: how they lie in memory.
        turned: whether the taps are read from the last to the first.
        ended: what becomes of the result.
    """
    height, width = _part(m, y[1]), _part(m, y[3])
    made = winograd.convolution(m, low, x, y, (height, width), filters, turned, ended)
    taps = tuple(range(8, -1, -1) if turned else range(9))

    def strip(first: Ints, count: Ints) -> Pass:
        axes = [
            Axis(size, number, 3, 1, 1, start - zeros)
            for size, number, start, zeros in zip(x[1:4:2], count, first, low, strict=True)
        ]
        return Pass(three(axes), taps, (first[0], 0, first[1]), (1, 1, 1))

    strips = []
    if height < y[1]:
        strips.append(strip((height, 0), (y[1] - height, y[3])))
    if width < y[3]:
        strips.append(strip((0, width), (height, y[3] - width)))
    for each in strips:
        later = ended._replace(scratch=ended.scratch + len(made.scratch))
        other = correlation(x, y, "float32", [each], filters, 0, later)
        made = native([*made.calls, *other.calls], [*made.scratch, *other.scratch])
    return made
