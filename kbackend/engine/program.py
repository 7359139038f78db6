"""Programs: what the compiler hands to an engine. Plain data, so that an engine needs no compiler.

A program is a list of steps over numbered values. Every value has a place: memory of a shared
arena, an input, a constant, or an output. Values that are views of others share their memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

Ints = tuple[int, ...]


class Spec(NamedTuple):
    """What is known of an array before it is computed.

    Attributes:
        shape: dimensions.
        dtype: name of the dtype.
        strides: elements from one index to the next per dimension; `None` where they are those of
            a contiguous array in row-major order.
    """

    shape: Ints
    dtype: str
    strides: Ints | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie side by side in row-major order."""
        return self.strides is None


@dataclass(frozen=True)
class Prepared:
    """A kernel for given shapes and dtypes, that writes into memory it is handed.

    Attributes:
        run: called as `run(*outputs, *inputs, *scratch)`. Outputs and scratch are contiguous;
            their former contents are undefined.
        scratch: arrays that it needs while it runs.
        overwrites: pairs (input, output) of positions: that output may be the very memory of that
            input, if nothing else needs the input any more. Both have one shape and dtype.
        work: nanoseconds that it takes on one thread, roughly, if it is worth that the program
            takes all cores for it; else 0.
    """

    run: Callable[..., None]
    scratch: tuple[Spec, ...] = ()
    overwrites: tuple[tuple[int, int], ...] = ()
    work: float = 0.0


class Place(NamedTuple):
    """Where a value is.

    Attributes:
        base: the value whose memory it is, `ARENA`, or `FRESH`: made anew by its step in each run.
        offset: bytes from there.
        strides: bytes per dimension, `None` for contiguous values.
    """

    base: int
    offset: int = 0
    strides: Ints | None = None


ARENA = -1
FRESH = -2


@dataclass(frozen=True)
class Step:
    """One call of a kernel.

    Attributes:
        name: key in the engine's table of primitives or composites, or one of the structured steps
            "region", "switch", "while", "scan" and "parts".
        inputs: values.
        outputs: values.
        params: parameters of the kernel; for structured steps the programs inside.
        source: the layer and the line it came from, for messages.
        prepared: the kernel, where the engine has prepared one.
        scratch: places of the scratch arrays in the arena.
    """

    name: str
    inputs: Ints
    outputs: Ints
    params: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    prepared: Prepared | None = None
    scratch: Ints = ()


class Cut(NamedTuple):
    """What can be done part by part of a batch.

    Attributes:
        rows: size of the batch.
        flops: floating point operations, of all parts together.
        moved: bytes that they read and write.
        shared: bytes that each part reads whole, or makes a summand of.
        loops: whether there are loops among it.
    """

    rows: int
    flops: int
    moved: int
    shared: int
    loops: bool


class Node(NamedTuple):
    """One elementwise operation inside a region.

    Attributes:
        name: primitive, or composite that is as elementwise as one.
        inputs: positions among the region's inputs, followed by the results of the nodes before.
        params: its parameters.
        spec: its result's.
    """

    name: str
    inputs: Ints
    params: Mapping[str, Any]
    spec: Spec


@dataclass(frozen=True)
class Region:
    """Elementwise operations that are run together, so that what lies between stays in cache.

    Attributes:
        inputs: specs of the inputs, which broadcast to `shape`.
        nodes: operations, each after those that it needs.
        outputs: positions (as in `Node.inputs`) of the results.
        shape: the shape of all outputs.
        known: position -> value of those inputs that are literal scalars.
    """

    inputs: tuple[Spec, ...]
    nodes: tuple[Node, ...]
    outputs: Ints
    shape: Ints
    known: Mapping[int, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A planned computation.

    Attributes:
        specs: of the values, by number.
        places: of the values, by number.
        constants: value -> the engine's array.
        inputs: values that are handed in with each run, contiguous.
        outputs: values that are handed out: memory of their own in each run, unless they are
            inputs or constants.
        updates: pairs (input, value): what becomes of inputs that are variables. On an engine with
            planned memory it is written into the input's memory.
        steps: the kernels to call, in order.
        arena: bytes of shared memory.
        naive: bytes that all values would take without sharing.
        name: what is computed, for messages.
    """

    specs: tuple[Spec, ...]
    places: tuple[Place, ...]
    constants: Mapping[int, Any]
    inputs: Ints
    outputs: Ints
    updates: tuple[tuple[int, int], ...]
    steps: tuple[Step, ...]
    arena: int
    naive: int = 0
    name: str = "program"

    @property
    def planned(self) -> int:
        """Bytes of this arena and of those of the programs inside, each as often as it may run
        side by side."""
        return self.arena + sum(times * inner.planned for inner, times in self._inner())

    @property
    def unshared(self) -> int:
        """What `planned` would be if no two values shared memory."""
        return self.naive + sum(times * inner.unshared for inner, times in self._inner())

    def _inner(self) -> Iterator[tuple[Program, int]]:
        for step in self.steps:
            times = step.params.get("count", 1) if step.name == "parts" else 1
            for value in step.params.values():
                for item in value if isinstance(value, tuple) else (value,):
                    if isinstance(item, Program):
                        yield item, times


# What `Engine.compile` returns: from the arrays of the inputs to those of the outputs, and to the
# new arrays of the inputs that are updated (the same objects, where their memory was written to).
Runner = Callable[[list[Any]], tuple[list[Any], list[Any]]]
