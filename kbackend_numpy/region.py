"""Elementwise operations run together: small ones as they are, large ones block by block.

Within a block every intermediate result stays in cache; blocks are spread over the threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from kbackend.engine.program import Ints, Node, Prepared, Region, Spec
from kbackend.engine.strides import broadcast_strides, merge, merged_shape
from kbackend_numpy import threads
from kbackend_numpy.kernels.elementwise import OUT, TEMPORARY, Call, Slot, emit

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


def _run_calls(calls: Sequence[Call], arrays: Sequence[Any]) -> None:
    for fn, args in calls:
        fn(*[arrays[a] if a.__class__ is Slot else a for a in args])


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
    count = len(region.inputs)
    specs = [*region.inputs, *[node.spec for node in region.nodes]]
    last = {i: n for n, node in enumerate(region.nodes) for i in node.inputs}
    outputs = {value: position for position, value in reversed(list(enumerate(region.outputs)))}
    # Registers are numbered like run's arguments: outputs, inputs, scratch.
    registers = {i: len(region.outputs) + i for i in range(count)}
    scratch: list[str] = []
    free: dict[str, list[int]] = {}
    calls: list[Call] = []
    overwrites: list[tuple[int, int]] = []

    def register(dtype: str) -> int:
        if free.get(dtype):
            return free[dtype].pop()
        scratch.append(dtype)
        return len(region.outputs) + count + len(scratch) - 1

    for number, node in enumerate(region.nodes):
        known = {p: region.known[i] for p, i in enumerate(node.inputs) if i in region.known}
        given = tuple([specs[i] for i in node.inputs])
        emitted = emit(node.name, given, node.spec, node.params, known)
        if emitted is None:
            return None
        value, target = count + number, -1
        dying = [i for i in dict.fromkeys(node.inputs) if last[i] == number and i >= count]
        if value in outputs:
            target = outputs[value]
            overwrites += _overwritable(region, node, emitted.safe, last, number, target)
        else:
            reusable = [
                registers[i]
                for i in dying
                if i not in outputs
                and specs[i].dtype == node.spec.dtype
                and {p for p, j in enumerate(node.inputs) if j == i} <= emitted.safe
            ]
            target = reusable[0] if reusable else register(node.spec.dtype)
        registers[value] = target
        temporary = [register(dtype) for dtype in emitted.scratch]
        for i in dying:
            if i not in outputs and registers[i] != target:
                free.setdefault(specs[i].dtype, []).append(registers[i])
        slots = {OUT: Slot(target)} | {p: Slot(registers[i]) for p, i in enumerate(node.inputs)}
        for position, (dtype, taken) in enumerate(zip(emitted.scratch, temporary, strict=True)):
            slots[TEMPORARY - position] = Slot(taken)
            free.setdefault(dtype, []).append(taken)
        calls += [
            Call(fn, tuple([slots[a] if a.__class__ is Slot else a for a in args]))
            for fn, args in emitted.calls
        ]
    for position, value in enumerate(region.outputs):
        if outputs[value] != position:
            calls.append(Call(np.copyto, (Slot(position), Slot(outputs[value]))))
    return _scheduled(region, tuple(calls), scratch, tuple(overwrites))


def _overwritable(
    region: Region,
    node: Node,
    safe: frozenset[int],
    last: Mapping[int, int],
    number: int,
    target: int,
) -> list[tuple[int, int]]:
    """Inputs that are read for the last time by the node that writes an output."""
    found = []
    for i, spec in enumerate(region.inputs):
        alike = spec.shape == region.shape and spec.dtype == node.spec.dtype and spec.contiguous
        places = {p for p, j in enumerate(node.inputs) if j == i}
        if alike and last.get(i, number) <= number and places <= safe and i in last:
            found.append((i, target))
    return found


def _scheduled(
    region: Region, calls: tuple[Call, ...], scratch: list[str], overwrites: tuple[Ints, ...]
) -> Prepared:
    """The calls on whole arrays, or on blocks of them."""
    size = prod(region.shape)
    pairs: Any = overwrites
    if size <= _BLOCK:
        specs = tuple(Spec(region.shape, dtype) for dtype in scratch)

        def run(*arrays: Any) -> None:
            _run_calls(calls, arrays)

        return PreparedCalls(run, specs, pairs, 0.0, calls)
    rank = len(region.shape)
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
                _run_calls(calls, here)

        bounds = threads.ranges(shape[0], workers if threads.active() else 1)
        threads.split(part, len(bounds))

    specs = tuple(Spec(block, dtype) for _ in range(workers) for dtype in scratch)
    return Prepared(blocked, specs, pairs, work if workers > 1 else 0.0)
