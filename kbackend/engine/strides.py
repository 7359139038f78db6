"""How arrays that broadcast to one shape lie in memory, and which dimensions can be one loop."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from kbackend.engine.program import Ints, Spec

# A range of neighbouring dimensions: (first, behind the last).
Group = tuple[int, int]


def broadcast_strides(spec: Spec, shape: Ints) -> Ints:
    """Elements from one index of `shape` to the next per dimension, 0 where an array is repeated.

    >>> broadcast_strides(Spec((3, 1), "float32"), (2, 3, 4))
    (0, 1, 0)
    """
    own = spec.strides
    if own is None:
        own = contiguous_strides(spec.shape)
    missing = len(shape) - len(spec.shape)
    spread = [0 if d == 1 else s for d, s in zip(spec.shape, own, strict=True)]
    return (0,) * missing + tuple(spread)


def contiguous_strides(shape: Ints) -> Ints:
    """The strides of an array in row-major order."""
    steps, step = [], 1
    for dim in reversed(shape):
        steps.append(step)
        step *= dim
    return tuple(reversed(steps))


def merge(shape: Ints, strides: Sequence[Ints], apart: int = 0) -> list[Group]:
    """Ranges of neighbouring dimensions that can be merged into one for all arrays.

    Args:
        shape: dimensions that are looped over.
        strides: of the arrays; see `broadcast_strides`.
        apart: a dimension that is not merged with those before it.

    >>> merge((2, 3, 4), [(12, 4, 1), (0, 0, 1)])
    [(0, 2), (2, 3)]
    """
    dims = list(shape)
    steps = [list(s) for s in strides]
    groups = [(axis, axis + 1) for axis in range(len(dims))]
    for axis in range(len(dims) - 2, -1, -1):
        inner = dims[axis + 1]
        if axis + 1 == apart:
            continue
        if dims[axis] == 1 or inner == 1 or all(s[axis] == s[axis + 1] * inner for s in steps):
            for s in steps:
                s[axis : axis + 2] = [s[axis] if inner == 1 else s[axis + 1]]
            dims[axis : axis + 2] = [dims[axis] * inner]
            groups[axis : axis + 2] = [(groups[axis][0], groups[axis + 1][1])]
    return groups


def merged_shape(shape: Ints, rank: int, groups: Sequence[Group]) -> Ints:
    """A shape that broadcasts to `rank` dimensions, with the groups merged."""
    full = (1,) * (rank - len(shape)) + shape
    return tuple(prod(full[start:stop]) for start, stop in groups)


def merged_strides(shape: Ints, strides: Ints, groups: Sequence[Group]) -> Ints:
    """The strides of an array's merged dimensions.

    Args:
        shape: dimensions that are looped over.
        strides: of the array; see `broadcast_strides`.
        groups: see `merge`.
    """
    found = []
    for start, stop in groups:
        # The innermost one that is not a single index tells the step.
        inner = next((i for i in range(stop - 1, start, -1) if shape[i] != 1), start)
        found.append(strides[inner])
    return tuple(found)
