"""Fused regions, and single operations that could be part of one, as compiled loop nests."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

from kbackend.engine.program import REDUCTIONS, Node, Prepared, Region, Spec
from kbackend_numba.codegen.elementwise import OPERATIONS
from kbackend_numba.kernels import region_elements, region_rows, region_sums
from kbackend_numba.kernels.copying import copy, packed
from kbackend_numba.kernels.region_arrays import Layout, layout
from kbackend_numba.kernels.region_body import Body, body_of
from kbackend_numba.native import Prepare, native

Specs = tuple[Spec, ...]


def prepare(region: Region, inputs: Specs) -> Prepared | None:
    """A kernel for a region, or `None` if one of its operations can't be written.

    Args:
        region: what to compute.
        inputs: specs of its inputs with their strides.
    """
    lies = layout(region.shape, region.axes, inputs, region.known)
    body = body_of(region, inputs, lies.lies())
    if body is None:
        return None
    if not prod(region.shape):
        # There is nothing to write, but for what reductions make of nothing.
        return None if region.axes else native(())
    if not region.axes:
        made = region_elements.prepare(body, lies)
    elif region.by_rows and not _sums_suit(body, lies):
        made = region_rows.prepare(body, lies)
    else:
        made = region_sums.prepare(body, lies)
    # Of inputs that lie as the domain does some may have other shapes.
    alike = [pair for pair in made.overwrites if inputs[pair[0]].shape == region.shape]
    return replace(made, overwrites=tuple(alike))


def _sums_suit(body: Body, lies: Layout) -> bool:
    """Whether few long rows are better cut than done by one thread each."""
    kept = {v for v, op in enumerate(body.operations, len(body.inputs)) if op.kept}
    rows = prod(dim for axis, dim in enumerate(lies.shape) if axis not in lies.reduced)
    simple = kept <= set(body.outputs) and all(
        kept.isdisjoint(op.inputs) and (op.reduces or not op.kept) for op in body.operations
    )
    return simple and rows < _FEW and prod(lies.shape) >= _LONG * rows


# Rows below this number are few, from this length on they are long.
_FEW, _LONG = 16, 1 << 16


def _region(inputs: Specs, outputs: Specs, region: Region) -> Prepared | None:
    return prepare(region, inputs)


def _single(name: str) -> Prepare:
    def make(inputs: Specs, outputs: Specs, **params: Any) -> Prepared | None:
        node = Node(name, tuple(range(len(inputs))), params, outputs[0])
        return prepare(Region(inputs, (node,), (len(inputs),), outputs[0].shape), inputs)

    return make


def _reduction(name: str) -> Prepare:
    def make(
        inputs: Specs, outputs: Specs, axes: tuple[int, ...], keepdims: bool
    ) -> Prepared | None:
        x = inputs[0]
        axes = tuple(sorted(axis % len(x.shape) for axis in axes))
        if not prod(x.shape[axis] for axis in axes):
            return None
        if prod(x.shape[axis] for axis in axes) == 1:
            return _copy((x,), outputs)
        node = Node(name, (0,), {"axes": axes, "keepdims": keepdims}, outputs[0])
        return prepare(Region(inputs, (node,), (1,), x.shape, axes=axes), inputs)

    return make


def _copy(inputs: Specs, outputs: Specs) -> Prepared | None:
    call = copy(inputs[0], source=1, target=0)
    return None if call is None else native((call,))


def _turned(spec: Spec) -> bool:
    """Whether to read an array along its last dimension would leave the nearest cache before the
    neighbours of what is read are needed."""
    if spec.strides is None or abs(spec.strides[-1]) < 2 or spec.shape[-1] < _TURN:
        return False
    return any(step == 1 and size > 1 for size, step in zip(spec.shape, spec.strides, strict=True))


# Elements of a row from which on a transposed array is copied first.
_TURN = 256

PREPARE: dict[str, Prepare] = {
    "copy": _copy,
    "region": packed(_region, _turned),
    **{name: packed(_single(name), _turned) for name in OPERATIONS},
    **{name: packed(_reduction(name), _turned) for name in REDUCTIONS},
}
