"""Which elements the positions of a convolution read, dimension by dimension."""

from __future__ import annotations

from math import gcd
from typing import NamedTuple

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


class Axis(NamedTuple):
    """One spatial dimension: position `o` reads elements `start + o * stride + tap * dilation`.

    Elements outside of `0 <= i < size` count as zero.
    """

    size: int
    positions: int
    taps: int
    stride: int = 1
    dilation: int = 1
    start: int = 0

    def reach(self, positions: int) -> int:
        """Elements from the first to the last that neighbouring positions read."""
        return (positions - 1) * self.stride + (self.taps - 1) * self.dilation + 1

    @property
    def inside(self) -> bool:
        """Whether no position reads what lies outside."""
        return self.start >= 0 and self.start + self.reach(self.positions) <= self.size


def axes_of(
    space: Ints, positions: Ints, window: Ints, strides: Ints, padding: Pads, dilation: Ints
) -> tuple[Axis, ...]:
    """The dimensions of a convolution."""
    low = tuple(-pair[0] for pair in padding)
    return tuple(map(Axis, space, positions, window, strides, dilation, low))


class Phase(NamedTuple):
    """Every stride-th input position along one dimension, from `first` on.

    Attributes:
        first: the first of these positions.
        taps: which taps of the filters reach them, in the order of the cotangent's elements.
        axis: how they read the cotangent; of no taps where none reaches them.
    """

    first: int
    taps: slice
    axis: Axis


def phases_of(axis: Axis) -> list[Phase]:
    """The phases of the input's positions along one dimension, which a convolution reads so."""
    stride, dilation = axis.stride, axis.dilation
    step = stride // gcd(stride, dilation)
    phases = []
    for first in range(min(stride, axis.size)):
        # Position o of the convolution reads by its tap i the element o * stride + i * dilation +
        # start. Here that is solved for o.
        offset = first - axis.start
        taps = [i for i in range(axis.taps) if (offset - i * dilation) % stride == 0]
        last = taps[-1] if taps else 0
        positions = -(-(axis.size - first) // stride)
        start = (offset - last * dilation) // stride
        apart = step * dilation // stride
        turned = slice(taps[0], last + 1, step) if taps else slice(0)
        reads = Axis(axis.positions, positions, len(taps), 1, apart, start)
        phases.append(Phase(first, turned, reads))
    return phases
