"""The domain of a region as loops: what is kept, what is reduced, and where arrays lie."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from kbackend.engine.program import Ints, Region, Spec
from kbackend.engine.strides import (
    broadcast_strides,
    contiguous_strides,
    merge,
    merged_shape,
    merged_strides,
)

# Positions that arrays are indexed with fit in a signed number of 32 bits up to here.
_SHORT = (1 << 31) - 1


class Steps(NamedTuple):
    """Elements from one index to the next, for each kept and each reduced dimension."""

    kept: Ints
    reduced: Ints


class Space(NamedTuple):
    """The domain with its kept dimensions first, neighbours merged where arrays allow it.

    Attributes:
        kept: sizes of the dimensions that are kept.
        reduced: sizes of those that are reduced.
        inputs: value -> its steps, of the inputs that are arrays.
        whole: steps of an output that has an element for each index of the domain.
        long: whether positions need 64 bits.
    """

    kept: Ints
    reduced: Ints
    inputs: Mapping[int, Steps]
    whole: Steps
    long: bool

    @property
    def rows(self) -> int:
        """How many elements a kept value has."""
        return prod(self.kept)

    @property
    def length(self) -> int:
        """How many elements are reduced to one."""
        return prod(self.reduced)

    @property
    def counter(self) -> str:
        """The C++ type of positions."""
        return "unsigned long long" if self.long else "unsigned"


def space(region: Region, inputs: tuple[Spec, ...]) -> Space:
    """The loops of a region.

    Args:
        region: what is computed.
        inputs: specs of its inputs with their strides.
    """
    rank = len(region.shape)
    kept = [i for i in range(rank) if i not in region.axes]
    order = [*kept, *region.axes]
    shape = tuple([region.shape[i] for i in order])
    strides = {
        i: broadcast_strides(spec, region.shape)
        for i, spec in enumerate(inputs)
        if i not in region.known
    }
    own = contiguous_strides(region.shape)
    steps = {i: tuple([s[d] for d in order]) for i, s in strides.items()}
    straight = tuple([own[d] for d in order])
    groups = merge(shape, [*steps.values(), straight], apart=len(kept))
    sizes = merged_shape(shape, rank, groups)
    cut = sum(1 for start, _ in groups if start < len(kept))

    def merged(s: Ints) -> Steps:
        found = merged_strides(shape, s, groups)
        return Steps(found[:cut], found[cut:])

    reach = max([prod(region.shape), *[_reach(shape, s) for s in steps.values()]])
    places = {i: merged(s) for i, s in steps.items()}
    return Space(sizes[:cut], sizes[cut:], places, merged(straight), reach > _SHORT)


def _reach(shape: Ints, steps: Ints) -> int:
    return sum(abs(step) * (dim - 1) for dim, step in zip(shape, steps, strict=True)) + 1


def coordinates(index: str, sizes: Ints, prefix: str, kind: str) -> list[str]:
    """Statements that take a position apart; the sizes are constants, so they are cheap.

    Args:
        index: the position.
        sizes: of the dimensions, the first of which is not used.
        prefix: names of the coordinates are this and a number.
        kind: C++ type of positions.
    """
    if len(sizes) <= 1:
        return [f"const {kind} {prefix}{dim} = {index};" for dim in range(len(sizes))]
    found, rest = [], index
    for dim in range(len(sizes) - 1, 0, -1):
        found.append(f"const {kind} {prefix}{dim} = {rest} % {sizes[dim]}u;")
        found.append(f"const {kind} {prefix}rest{dim} = {rest} / {sizes[dim]}u;")
        rest = f"{prefix}rest{dim}"
    return [*found, f"const {kind} {prefix}0 = {rest};"]


def offset(steps: Ints, prefix: str, long: bool) -> str:
    """The sum of coordinates times steps."""
    kind = "long long" if long else "int"
    terms = [
        f"({kind}){prefix}{dim} * {step}" if step != 1 else f"({kind}){prefix}{dim}"
        for dim, step in enumerate(steps)
        if step
    ]
    return " + ".join(terms) or "0"
