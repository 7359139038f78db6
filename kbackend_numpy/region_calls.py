"""A region as calls of NumPy functions on registers: its outputs, its inputs, and scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from kbackend.engine.program import Node, Region, Spec
from kbackend_numpy.kernels.elementwise import OUT, TEMPORARY, Call, Emitted, Slot, emit
from kbackend_numpy.kernels.reduce import KERNELS


class Written(NamedTuple):
    """A region as calls.

    Attributes:
        calls: in order; arguments that are `Slot`s stand for registers, which are numbered like
            `run`'s arguments: outputs, inputs, scratch.
        scratch: arrays that they need.
        overwrites: as in `Prepared`.
    """

    calls: tuple[Call, ...]
    scratch: tuple[Spec, ...]
    overwrites: tuple[tuple[int, int], ...]


def write(region: Region) -> Written | None:
    """The calls for a region, or `None` if one of its operations has none that suit.

    Args:
        region: what to compute; the specs of its inputs have their strides.
    """
    region = _spread(region)
    count = len(region.inputs)
    specs = [*region.inputs, *[node.spec for node in region.nodes]]
    last = {i: n for n, node in enumerate(region.nodes) for i in node.inputs}
    outputs = {value: position for position, value in reversed(list(enumerate(region.outputs)))}
    registers = {i: len(region.outputs) + i for i in range(count)}
    scratch: list[Spec] = []
    free: dict[Spec, list[int]] = {}
    calls: list[Call] = []
    overwrites: list[tuple[int, int]] = []

    def register(spec: Spec) -> int:
        if free.get(spec):
            return free[spec].pop()
        scratch.append(spec)
        return len(region.outputs) + count + len(scratch) - 1

    for number, node in enumerate(region.nodes):
        known = {p: region.known[i] for p, i in enumerate(node.inputs) if i in region.known}
        found = _emitted(node, tuple([specs[i] for i in node.inputs]), known)
        if found is None:
            return None
        emitted, needed = found
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
                and specs[i] == node.spec
                and {p for p, j in enumerate(node.inputs) if j == i} <= emitted.safe
            ]
            target = reusable[0] if reusable else register(node.spec)
        registers[value] = target
        temporary = [register(spec) for spec in needed]
        for i in dying:
            if i not in outputs and registers[i] != target:
                free.setdefault(specs[i], []).append(registers[i])
        slots = {OUT: Slot(target)} | {p: Slot(registers[i]) for p, i in enumerate(node.inputs)}
        for position, (spec, taken) in enumerate(zip(needed, temporary, strict=True)):
            slots[TEMPORARY - position] = Slot(taken)
            free.setdefault(spec, []).append(taken)
        calls += [
            Call(fn, tuple([slots[a] if a.__class__ is Slot else a for a in args]))
            for fn, args in emitted.calls
        ]
    for position, value in enumerate(region.outputs):
        if outputs[value] != position:
            calls.append(Call(np.copyto, (Slot(position), Slot(outputs[value]))))
    return Written(tuple(calls), tuple(scratch), tuple(overwrites))


def run_calls(calls: Sequence[Call], arrays: Sequence[Any]) -> None:
    """Makes the calls with these arrays as registers."""
    for fn, args in calls:
        fn(*[arrays[a] if a.__class__ is Slot else a for a in args])


def _emitted(
    node: Node, given: tuple[Spec, ...], known: Mapping[int, Any]
) -> tuple[Emitted, tuple[Spec, ...]] | None:
    """The calls of a node, and the scratch that they need."""
    if node.name == _SPREAD:
        return Emitted((Call(np.copyto, (Slot(OUT), Slot(0))),), frozenset()), ()
    if not node.reduces:
        emitted = emit(node.name, given, node.spec, node.params, known)
        if emitted is None:
            return None
        return emitted, tuple([Spec(node.spec.shape, dtype) for dtype in emitted.scratch])
    prepare = KERNELS[node.name].prepare
    ready = prepare(given, (node.spec,), **node.params) if prepare else None
    if ready is None:
        return None
    temporary = [Slot(TEMPORARY - i) for i in range(len(ready.scratch))]
    return Emitted((Call(ready.run, (Slot(OUT), Slot(0), *temporary)),), frozenset()), ready.scratch


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
        alike = spec.shape == node.spec.shape == region.shape and spec.dtype == node.spec.dtype
        places = {p for p, j in enumerate(node.inputs) if j == i}
        if alike and spec.contiguous and last.get(i, number) <= number and places <= safe:
            found += [(i, target)] if i in last else []
    return found


# A node of this module's own: a kept value, all over its row.
_SPREAD = "spread"


def _spread(region: Region) -> Region:
    """The region with kept values spread over their rows before whole ones are made of them.

    A ufunc that broadcasts along a row takes longer than this and one over arrays of one shape;
    and what is spread may be used again.
    """
    if not region.by_rows:
        return region
    count = len(region.inputs)
    specs = [*region.inputs, *[node.spec for node in region.nodes]]
    nodes: list[Node] = []
    moved = {i: i for i in range(count)}
    spread: dict[int, int] = {}
    for number, node in enumerate(region.nodes, count):
        inputs = [moved[i] for i in node.inputs]
        for place, i in enumerate(node.inputs):
            kept = specs[i].shape == region.kept and specs[i].size > 1
            if node.spec.shape == region.kept or not kept:
                continue
            if i not in spread:
                whole = Spec(region.shape, specs[i].dtype)
                nodes.append(Node(_SPREAD, (moved[i],), {}, whole))
                spread[i] = count + len(nodes) - 1
            inputs[place] = spread[i]
        nodes.append(node._replace(inputs=tuple(inputs)))
        moved[number] = count + len(nodes) - 1
    outputs = tuple([moved[i] for i in region.outputs])
    return replace(region, nodes=tuple(nodes), outputs=outputs)
