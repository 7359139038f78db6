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

    The step "epilogue" is a kernel that ends with a region. Its parameters are `op` and `params` of
    the kernel, the `region`, and the `place` of the kernel's first result among the region's
    inputs. The step's outputs are the region's only one, then the kernel's others; its inputs are
    the kernel's, then the region's other ones in their order. These have the shape of the result,
    or that of its last dimensions (behind dimensions of 1, or none), or one element.

    The step "scattered" is a region one of whose inputs is rows that are added to zeros, as the
    gradient of a table is. That input has the shape of the region's domain; reductions, if there
    are any, are over all axes. Its parameters are the `region`, the `place` of that input among the
    region's, and the `axes` that are indexed; its inputs are the region's without that one, then
    the rows and the indices, as for "scatter".

    Attributes:
        name: key in the engine's table of primitives or composites, or one of the structured steps
            "region", "epilogue", "scattered", "switch", "while", "scan" and "parts".
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


# Primitives that are reductions inside a region; all other operations there are elementwise.
REDUCTIONS = frozenset(("reduce_sum", "reduce_max", "reduce_min", "reduce_prod"))


class Node(NamedTuple):
    """One operation inside a region: elementwise, or a reduction.

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

    @property
    def reduces(self) -> bool:
        """Whether it is a reduction."""
        return self.name in REDUCTIONS


@dataclass(frozen=True)
class Region:
    """Operations that are run together, so that what lies between them stays in cache.

    All of them belong to one domain, the indices of an array of the shape `shape`. Its values are
    of two kinds. *Whole* ones have one element for each index of the domain. *Kept* ones have one
    for each index of the dimensions that are not reduced: the shape of the domain with 1 in place
    of `axes` (`kept`). Where there are no reductions, all values are whole.

    An elementwise node is whole or kept; the shape of its spec, which is that of the domain or
    `kept`, says which. Its inputs broadcast to it; a kept node takes no whole values.

    A reduction takes one whole value, which has the shape of the domain (no broadcasting), and
    reduces it over `axes`: all reductions of a region over the same ones. Its parameters are those
    of the primitive, `axes` and `keepdims`, its result is kept and of the argument's dtype. Its
    spec has the shape of the primitive's result: with keepdims=False the axes are missing, while
    the elements and their order are the same.

    If `by_rows`, the axes are the last dimensions, and one worker may do a row after the other,
    each from end to end. Then, and only then, other nodes may take kept values that come from
    reductions. Such a reduction has keepdims=True, so that every value has the shape that its
    users broadcast. In all other regions (sums over leading dimensions, totals) reductions are
    outputs and nothing else, so each worker may reduce a share of the domain, and the shares'
    results are combined at the end.

    A reduction may take its elements in any order that does not change from run to run, nor with
    the number of workers; float16 and bfloat16 accumulate in float32. NaN stays NaN. Sums and
    products of nothing are 0 and 1.

    Attributes:
        inputs: specs of the inputs, which broadcast to `shape`.
        nodes: operations, each after those that it needs.
        outputs: positions (as in `Node.inputs`) of the results: whole values and kept ones, in the
            shapes of their nodes' specs.
        shape: the domain.
        known: position -> value of those inputs that are literal scalars.
        axes: dimensions of the domain that reductions reduce, in ascending order; () if there are
            no reductions.

    >>> x, row = Spec((2, 3), "float32"), Spec((2, 1), "float32")
    >>> region = Region(
    ...     inputs=(x,),
    ...     nodes=(
    ...         Node("reduce_max", (0,), {"axes": (1,), "keepdims": True}, row),
    ...         Node("sub", (0, 1), {}, x),
    ...     ),
    ...     outputs=(2,),
    ...     shape=(2, 3),
    ...     axes=(1,),
    ... )
    >>> region.kept, region.by_rows
    ((2, 1), True)
    """

    inputs: tuple[Spec, ...]
    nodes: tuple[Node, ...]
    outputs: Ints
    shape: Ints
    known: Mapping[int, Any] = field(default_factory=dict)
    axes: Ints = ()

    @property
    def kept(self) -> Ints:
        """The shape of kept values inside the region."""
        return tuple([1 if i in self.axes else dim for i, dim in enumerate(self.shape)])

    @property
    def by_rows(self) -> bool:
        """Whether the axes are the last dimensions, and not all."""
        return trailing(self.axes, len(self.shape))


def trailing(axes: Ints, rank: int) -> bool:
    """Whether axes, in ascending order, are the last ones of `rank` dimensions, and not all."""
    return 0 < len(axes) < rank and axes == tuple(range(rank - len(axes), rank))


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
