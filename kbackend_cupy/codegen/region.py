"""Fused regions as CUDA kernels."""

from __future__ import annotations

from typing import NamedTuple

from kbackend.engine.program import Ints, Region, Spec
from kbackend_cupy.codegen import elements, rows, shares
from kbackend_cupy.codegen.body import Body
from kbackend_cupy.codegen.launch import Launch

# Rows up to this many, from this length on, are cut in shares.
_FEW, _LONG = 64, 1 << 14


class Plan(NamedTuple):
    """How a step is done.

    Attributes:
        launches: one after the other.
        scratch: arrays that they need.
        tickets: numbers that they need besides, which are 0 before and after.
        overwrites: pairs (input, output): that output may be that input's memory.
    """

    launches: tuple[Launch, ...]
    scratch: tuple[Spec, ...] = ()
    overwrites: tuple[tuple[int, int], ...] = ()
    tickets: int = 0


def plan(region: Region, inputs: tuple[Spec, ...]) -> Plan | None:
    """The launches of a region, or `None` if one of its operations can't be written.

    Args:
        region: what to compute.
        inputs: specs of its inputs with their strides.
    """
    body = Body(region, inputs)
    if not body.writable or (region.axes and not body.space.length):
        return None
    if not region.axes:
        return Plan(tuple(elements.launches(body)), (), _overwrites(body, inputs))
    if region.by_rows and not (_reductions_are_outputs(body) and _few(body)):
        last = rows.written_last(body)
        pairs = tuple([pair for pair in _overwrites(body, inputs) if pair[1] in last])
        return Plan(tuple(rows.launches(body)), (), pairs)
    found, scratch, tickets = shares.launches(body)
    return Plan(tuple(found), tuple(scratch), _overwrites(body, inputs), tickets)


def _few(body: Body) -> bool:
    return body.space.rows <= _FEW and body.space.length >= _LONG


def _reductions_are_outputs(body: Body) -> bool:
    """Whether no node takes a reduction's result."""
    used = {i for node in body.region.nodes for i in node.inputs}
    return used.isdisjoint(body.reductions)


def _overwrites(body: Body, inputs: tuple[Spec, ...]) -> tuple[tuple[int, int], ...]:
    """Each element is read before it is written, by the same thread."""
    pairs: list[tuple[int, int]] = []
    for i in body.arrays:
        shape: Ints = inputs[i].shape
        if shape != body.region.shape or not inputs[i].contiguous:
            continue
        pairs += [
            (i, output)
            for output, value in enumerate(body.region.outputs)
            if body.widely(output) and body.dtypes[value] == inputs[i].dtype
        ]
    return tuple(pairs)
