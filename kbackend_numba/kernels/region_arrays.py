"""Where a region's arrays are: strides as its loops need them, for Python and in the code.

The loops of a region are an inner one and groups of outer ones, each group gone through as one run
of rows. What is told to the code is, in this order: the length of the inner loop; the sizes of the
outer loops; for each array that doesn't lie as the domain does, and for the domain itself, the
strides of the outer loops; and the step of those whose elements are apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from kbackend.engine.program import Ints, Spec
from kbackend.engine.strides import (
    broadcast_strides,
    contiguous_strides,
    merge,
    merged_shape,
    merged_strides,
)
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.nest import KEPT, ONE, ROW, SAME, STEPS, Span
from kbackend_numba.codegen.value import Value
from kbackend_numba.kernels.region_body import Body, Given, Literal


class Layout(NamedTuple):
    """How arrays lie along merged dimensions.

    Attributes:
        shape: the merged dimensions.
        reduced: which of them are reduced.
        steps: position of an input -> its strides.
    """

    shape: Ints
    reduced: Ints
    steps: dict[int, Ints]

    def lies(self) -> dict[int, str]:
        """How the inputs lie; see `codegen.nest`."""
        return {i: self._lies(steps) for i, steps in self.steps.items()}

    def _lies(self, steps: Ints) -> str:
        shape, own = self.shape, contiguous_strides(self.shape)
        if len(shape) - 1 in self.reduced and not any(steps[axis] for axis in self.reduced):
            return KEPT
        if all(s == o or d == 1 for d, s, o in zip(shape, steps, own, strict=True)):
            return SAME
        return {0: ONE, 1: ROW}.get(steps[-1], STEPS) if shape[-1] != 1 else ONE

    def sizes(self, body: Body, groups: Sequence[Ints]) -> list[int]:
        """What is told to the code.

        Args:
            body: what it computes.
            groups: dimensions of the outer loops.
        """
        outer = [axis for group in groups for axis in group]
        told = [self.shape[-1], *[self.shape[axis] for axis in outer]]
        own = contiguous_strides(self.shape)
        told += [own[axis] for axis in outer]
        for i, given in enumerate(body.inputs):
            if isinstance(given, Given) and given.lies != SAME:
                told += [self.steps[i][axis] for axis in outer]
                if given.lies == STEPS:
                    told.append(self.steps[i][-1])
        return told


def layout(shape: Ints, axes: Ints, inputs: Sequence[Spec], known: Any) -> Layout:
    """How a region's inputs lie.

    Args:
        shape: the domain.
        axes: those that are reduced.
        inputs: specs of the inputs.
        known: positions of those that are literals.
    """
    domain = shape or (1,)
    kept = tuple([1 if i in axes else dim for i, dim in enumerate(domain)])
    strides = {i: broadcast_strides(s, domain) for i, s in enumerate(inputs) if i not in known}
    # A reduced value has strides of 0 along the axes: so they stay apart from the others.
    values = [*strides.values(), broadcast_strides(Spec(kept, ""), domain)]
    groups = merge(domain, values, axes[0] if axes else 0)
    reduced = [
        number
        for number, group in enumerate(groups)
        if any(domain[i] != 1 and i in axes for i in range(*group))
    ]
    return Layout(
        merged_shape(domain, len(domain), groups),
        tuple(reduced),
        {i: merged_strides(domain, s, groups) for i, s in strides.items()},
    )


class Arrays:
    """A region's arrays in the code.

    Args:
        code: where to write.
        body: what it computes.
        groups: how many outer loops each group has.

    Attributes:
        length: of the inner loop.
        dims: for each group the sizes of its loops.
        strides: for each group the strides of what moves: of the domain, which comes first, and of
            arrays that lie otherwise.
        told: how many integers the code has been told so far.
    """

    def __init__(self, code: Code, body: Body, groups: Sequence[int]) -> None:
        self.code, self.body = code, body
        self.told = 0
        self.length = self._next()
        self.dims = [[self._next() for _ in range(count)] for count in groups]
        self.strides: list[list[list[Value]]] = [
            [[self._next() for _ in range(count)]] for count in groups
        ]
        self._moving: list[int] = []
        self._steps: dict[int, Value] = {}
        outputs = len(body.outputs)
        self.outputs = [code.array(i) for i in range(outputs)]
        self._addresses = {i: code.array(outputs + n) for n, i in enumerate(body.arrays)}
        for i, given in enumerate(body.inputs):
            if isinstance(given, Literal) or given.lies == SAME:
                continue
            self._moving.append(i)
            for group, count in enumerate(groups):
                self.strides[group].append([self._next() for _ in range(count)])
            if given.lies == STEPS:
                self._steps[i] = self._next()

    def _next(self) -> Value:
        self.told += 1
        return self.code.size(self.told - 1)

    def next(self) -> Value:
        """Another integer that the code is told."""
        return self._next()

    @property
    def nowhere(self) -> list[Value]:
        """The offsets of what moves before the first outer loop."""
        return [self.code.number(0)] * (1 + len(self._moving))

    def fixed(self, offsets: Sequence[Value], lies: str) -> dict[int, Value]:
        """What is the same for all elements of a loop.

        Args:
            offsets: of what moves.
            lies: `ONE` or `KEPT`.
        """
        found = {}
        places = dict(zip(self._moving, offsets[1:], strict=True))
        for i, given in enumerate(self.body.inputs):
            if isinstance(given, Given) and given.lies == lies:
                found[i] = self.code.load(self._addresses[i], places[i], given.dtype)
        return found

    def literals(self) -> dict[int, Value]:
        """The literals."""
        inputs = enumerate(self.body.inputs)
        return {i: given.write(self.code) for i, given in inputs if isinstance(given, Literal)}

    def load(self, position: int, span: Span, offsets: Sequence[Value]) -> Value:
        """Elements of an input.

        Args:
            position: which input.
            span: which elements of the inner loop.
            offsets: of what moves.
        """
        given: Any = self.body.inputs[position]
        code, address = self.code, self._addresses[position]
        if given.lies == SAME:
            return span.load(code, address, offsets[0] + span.at, given.dtype)
        offset = offsets[1 + self._moving.index(position)]
        if given.lies == ROW:
            return span.load(code, address, offset + span.at, given.dtype)
        step = self._steps[position]
        place = offset + span.at * step
        return code.gather(address, place, step, given.dtype, span.lanes, span.mask)
