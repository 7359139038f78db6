"""How views lie in the memory of the value that they show: offsets and strides, in elements."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

Ints = tuple[int, ...]


class Layout(NamedTuple):
    """Where the elements of an array are.

    Attributes:
        shape: dimensions.
        strides: elements from one index to the next, per dimension.
        offset: elements before the first.
    """

    shape: Ints
    strides: Ints
    offset: int = 0

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie side by side in row-major order."""
        if 0 in self.shape:
            return True
        return all(
            d == 1 or s == c
            for d, s, c in zip(self.shape, self.strides, row_major(self.shape), strict=True)
        )


@lru_cache(4096)
def row_major(shape: Ints) -> Ints:
    """Strides of a contiguous array."""
    strides, step = [], 1
    for dim in reversed(shape):
        strides.append(step)
        step *= max(dim, 1)
    return tuple(reversed(strides))


@lru_cache(4096)
def contiguous(shape: Ints) -> Layout:
    """The layout of an array that is made anew."""
    return Layout(shape, row_major(shape))


def _transpose(x: Layout, axes: Ints) -> Layout:
    return Layout(tuple(x.shape[i] for i in axes), tuple(x.strides[i] for i in axes), x.offset)


def broadcast_to(x: Layout, shape: Ints) -> Layout:
    """The layout repeated along new leading dimensions and dimensions of size 1."""
    new = len(shape) - len(x.shape)
    strides = tuple(
        0 if d == 1 and wanted != 1 else s
        for d, s, wanted in zip(x.shape, x.strides, shape[new:], strict=True)
    )
    return Layout(shape, (0,) * new + strides, x.offset)


def _slice(x: Layout, starts: Ints, stops: Ints, steps: Ints) -> Layout:
    shape = tuple(
        max(0, -(-(stop - start) // step))
        for start, stop, step in zip(starts, stops, steps, strict=True)
    )
    offset = sum(start * s for start, s in zip(starts, x.strides, strict=True))
    strides = tuple(s * step for s, step in zip(x.strides, steps, strict=True))
    return Layout(shape, strides, x.offset + (offset if 0 not in shape else 0))


def _rev(x: Layout, axes: Ints) -> Layout:
    offset = x.offset
    if 0 not in x.shape:
        offset += sum((x.shape[i] - 1) * x.strides[i] for i in axes)
    return Layout(x.shape, tuple(-s if i in axes else s for i, s in enumerate(x.strides)), offset)


def _reshape(x: Layout, shape: Ints) -> Layout | None:
    """The layout in another shape, or `None` if no strides give that order of the elements."""
    if -1 in shape:
        known = prod(d for d in shape if d != -1)
        shape = tuple(prod(x.shape) // known if d == -1 else d for d in shape)
    if 0 in x.shape:
        return Layout(shape, row_major(shape), 0)
    # Runs of dimensions, from the right, that one step carries through.
    old = [(d, s) for d, s in zip(x.shape, x.strides, strict=True) if d != 1]
    strides: list[int] = []
    left = 1  # elements of the current run that are not yet handed to new dimensions
    step = 1
    for dim in reversed(shape):
        if dim == 1:
            strides.append(step * left)
            continue
        if left == 1:
            if not old:
                return None
            left, step = old.pop()
            while old and old[-1][1] == step * left:
                left *= old.pop()[0]
        if left % dim:
            return None
        strides.append(step)
        step *= dim
        left //= dim
    return Layout(shape, tuple(reversed(strides)), x.offset)


_RULES = {
    "transpose": _transpose,
    "broadcast_to": broadcast_to,
    "slice": _slice,
    "rev": _rev,
    "reshape": _reshape,
}


def view(name: str, x: Layout, params: Mapping[str, Any]) -> Layout | None:
    """The layout of a movement's result as a view of its argument, if it can be one.

    Args:
        name: the primitive: reshape, transpose, broadcast_to, slice or rev.
        x: layout of the argument.
        params: parameters of the primitive.
    """
    return _RULES[name](x, **params)  # type: ignore[operator, no-any-return]
