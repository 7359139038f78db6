"""Operations run together: small ones as they are, large ones block by block.

Within a block every intermediate result stays in cache; blocks are spread over the threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from kbackend.engine.program import Node, Prepared, Region, Spec
from kbackend.engine.strides import broadcast_strides, merge, merged_shape
from kbackend_numpy import region_reduce, region_rows, threads
from kbackend_numpy.kernels.elementwise import Call
from kbackend_numpy.region_calls import Written, run_calls, write

# Elements of a block: few float32 arrays of this size fit in a level 2 cache. Smaller ones would
# fit better, but beside other threads each call has to wait for the interpreter's lock.
_BLOCK = 1 << 17
# Nanoseconds per element and operation, roughly.
_PER_ELEMENT = 0.35


@dataclass(frozen=True)
class PreparedCalls(Prepared):
    """A kernel that is nothing but calls of NumPy functions.

    Attributes:
        calls: their arguments that are `Slot`s stand for arrays among `run`'s arguments.
    """

    calls: tuple[Call, ...] = ()


def prepare_op(
    name: str, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], params: Mapping[str, Any]
) -> Prepared | None:
    """A single elementwise primitive as a region of its own."""
    node = Node(name, tuple(range(len(inputs))), params, outputs[0])
    return prepare(Region(inputs, (node,), (len(inputs),), outputs[0].shape), inputs)


def prepare(region: Region, inputs: tuple[Spec, ...]) -> Prepared | None:
    """A kernel for the region, or `None` if one of its operations has no calls that suit.

    Args:
        region: what to compute.
        inputs: specs of its inputs with their strides.
    """
    region = replace(region, inputs=inputs)
    joined = region_rows.widened(region, lambda wide: prepare(wide, wide.inputs))
    if joined is not None:
        return joined
    size = prod(region.shape)
    if size > _BLOCK and region.axes:
        made = region_reduce.blocked(region, _BLOCK, _PER_ELEMENT)
        if made is not None:
            return made
    written = write(region)
    if written is None:
        return None
    if size > _BLOCK and not region.axes:
        return _blocked(region, written)
    calls = written.calls

    def run(*arrays: Any) -> None:
        run_calls(calls, arrays)

    return PreparedCalls(run, written.scratch, written.overwrites, calls=calls)


def _blocked(region: Region, written: Written) -> Prepared:
    """Elementwise calls on blocks of the arrays."""
    calls, scratch = written.calls, written.scratch
    rank, size = len(region.shape), prod(region.shape)
    groups = merge(region.shape, [broadcast_strides(s, region.shape) for s in region.inputs])
    shape = merged_shape(region.shape, rank, groups)
    work = size * len(calls) * _PER_ELEMENT
    rows = max(1, _BLOCK // prod(shape[1:]))
    block = (min(rows, shape[0]), *shape[1:])
    workers = threads.count() if work > threads.WORTH_SPLITTING else 1
    outs, ins = len(region.outputs), len(region.inputs)
    shapes = [shape] * outs + [merged_shape(spec.shape, rank, groups) for spec in region.inputs]

    def blocked(*arrays: Any) -> None:
        whole = [a.reshape(s) for a, s in zip(arrays, shapes, strict=False)]
        moving = [s[0] != 1 or shape[0] == 1 for s in shapes]
        temporary = arrays[outs + ins :]

        def part(index: int, worker: int) -> None:
            start, stop = bounds[index]
            own = temporary[worker * len(scratch) : (worker + 1) * len(scratch)]
            for at in range(start, stop, rows):
                end = min(at + rows, stop)
                here = [a[at:end] if m else a for a, m in zip(whole, moving, strict=True)]
                here += own if end - at == rows else [t[: end - at] for t in own]
                run_calls(calls, here)

        bounds = threads.ranges(shape[0], workers if threads.active() else 1)
        threads.split(part, len(bounds))

    specs = tuple([Spec(block, spec.dtype) for _ in range(workers) for spec in scratch])
    return Prepared(blocked, specs, written.overwrites, work if workers > 1 else 0.0)
