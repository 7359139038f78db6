"""The places that one tap of a window touches, for all of its positions at once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from kbackend.base.shapes import window_output

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Slices = tuple[slice, ...]


class Tap(NamedTuple):
    """One tap of a window.

    Attributes:
        place: its place in the window.
        source: slices over (batch, *space) of the elements it reads.
        target: slices over (batch, *positions) of the window positions that read them; at the
            others the tap lies in the padding.
    """

    place: Ints
    source: Slices
    target: Slices


def positions(space: Ints, window: Ints, strides: Ints, padding: Pads, dilation: Ints) -> Ints:
    """Number of window positions per spatial dimension."""
    return tuple(map(window_output, space, window, strides, padding, dilation))  # type: ignore[arg-type]


def _axis(
    size: int, window: int, stride: int, padding: tuple[int, int], dilation: int
) -> Iterator[tuple[int, slice, slice]]:
    out = window_output(size, window, stride, padding, dilation) or 0
    for tap in range(window):
        offset = tap * dilation - padding[0]
        start = max(0, -(offset // stride))
        stop = min(out, (size - 1 - offset) // stride + 1)
        if start < stop:
            first, last = start * stride + offset, (stop - 1) * stride + offset
            yield tap, slice(first, last + 1, stride), slice(start, stop)


@lru_cache(maxsize=1024)
def taps(
    space: Ints, window: Ints, strides: Ints, padding: Pads, dilation: Ints
) -> tuple[Tap, ...]:
    """The taps of a window in row-major order, without those that only ever see padding."""
    axes = [
        tuple(_axis(*args)) for args in zip(space, window, strides, padding, dilation, strict=True)
    ]
    everything = slice(None)
    return tuple(
        Tap(
            tuple(t[0] for t in combined),
            (everything, *(t[1] for t in combined)),
            (everything, *(t[2] for t in combined)),
        )
        for combined in product(*axes)
    )
