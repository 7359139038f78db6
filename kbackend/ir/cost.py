"""What an equation costs: floating point operations, and bytes read and written."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from kbackend.base import dtypes
from kbackend.core.aval import Aval
from kbackend.core.composite import Composite
from kbackend.ir.graph import Eqn, Graph, subgraphs
from kbackend.ir.trace import body_graph

# Primitives that on most engines only say how memory is read.
_FREE = frozenset(("reshape", "transpose", "broadcast_to", "slice", "rev", "full", "barrier"))


class Cost(NamedTuple):
    """Operations and memory traffic, as if nothing stayed in a cache."""

    flops: int = 0
    bytes: int = 0

    def __add__(self, other: object) -> Cost:
        if not isinstance(other, Cost):
            return NotImplemented
        return Cost(self.flops + other.flops, self.bytes + other.bytes)

    def times(self, n: int) -> Cost:
        """The cost of doing it n times."""
        return Cost(self.flops * n, self.bytes * n)


def nbytes(aval: Aval) -> int:
    """Bytes of a value."""
    return elements(aval) * dtypes.itemsize(aval.dtype)


def elements(aval: Aval) -> int:
    """Number of elements of a value."""
    return prod(d or 0 for d in aval.shape)


def eqn_cost(eqn: Eqn) -> Cost:
    """The cost of one equation."""
    moved = sum(nbytes(atom.aval) for atom in (*eqn.inputs, *eqn.outputs))
    if isinstance(eqn.op, Composite):
        body = body_graph(eqn.op, tuple([a.aval for a in eqn.inputs]), dict(eqn.params)).graph
        return Cost(graph_cost(body).flops, moved)
    inner = [graph for _, graph in subgraphs(eqn)]
    if inner:
        costs = [graph_cost(graph) for graph in inner]
        # Steps of a loop, or parts of a batch.
        return max(costs).times(eqn.params.get("length") or eqn.params.get("count", 1))
    own = getattr(eqn.op, "graph", None)
    if own is not None:
        return Cost(graph_cost(own).flops, moved)
    return Cost() if eqn.op.name in _FREE else Cost(_flops(eqn), moved)


def _flops(eqn: Eqn) -> int:
    name, kind = eqn.op.name, eqn.op.kind
    out = elements(eqn.outputs[0].aval)
    if name == "dot":
        x = eqn.inputs[0].aval
        contracted: tuple[int, ...] = eqn.params["contract"][0]
        return 2 * out * prod(x.shape[axis] or 0 for axis in contracted)
    if kind == "conv":
        # Each output of the convolution takes the products of one filter.
        a, b = (atom.aval for atom in eqn.inputs)
        window = b.shape if name != "conv_filter_grad" else eqn.outputs[0].aval.shape
        pixels = {"conv": out, "conv_input_grad": elements(a), "conv_filter_grad": elements(b)}
        return 2 * pixels[name] * prod(d or 0 for d in window[:-1])
    if kind in ("movement", "create", "index", "sort"):
        return 0
    if kind == "reduce":
        return elements(eqn.inputs[0].aval)
    return out


def graph_cost(graph: Graph) -> Cost:
    """The cost of all equations."""
    return sum((eqn_cost(eqn) for eqn in graph.eqns), Cost())
