"""Fused regions, and single operations that could be part of one, as compiled loop nests."""

from __future__ import annotations

from math import prod
from typing import Any

from kbackend.engine.program import Node, Prepared, Region, Spec
from kbackend_numba.codegen.elementwise import OPERATIONS
from kbackend_numba.kernels import region_elements
from kbackend_numba.kernels.copying import copy
from kbackend_numba.kernels.region_arrays import layout
from kbackend_numba.kernels.region_body import body_of
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
    if body is None or region.axes:
        return None
    if not prod(region.shape):
        return native(())
    return region_elements.prepare(body, lies)


def _region(inputs: Specs, outputs: Specs, region: Region) -> Prepared | None:
    return prepare(region, inputs)


def _single(name: str) -> Prepare:
    def make(inputs: Specs, outputs: Specs, **params: Any) -> Prepared | None:
        node = Node(name, tuple(range(len(inputs))), params, outputs[0])
        return prepare(Region(inputs, (node,), (len(inputs),), outputs[0].shape), inputs)

    return make


def _copy(inputs: Specs, outputs: Specs) -> Prepared | None:
    call = copy(inputs[0], source=1, target=0)
    return None if call is None else native((call,))


PREPARE: dict[str, Prepare] = {
    "region": _region,
    "copy": _copy,
    **{name: _single(name) for name in OPERATIONS},
}
