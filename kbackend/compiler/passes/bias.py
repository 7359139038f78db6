"""Bias into the product: for engines whose matrix product adds a vector to each row in one go.

Such an engine lists a kernel under the composite "dot_bias". All others never see it: adding in
place after the product is as good where the product is in a cache, and the addition may become
part of a region.
"""

from __future__ import annotations

from typing import Any

from kbackend.compiler.passes.inner import everywhere
from kbackend.core import lang
from kbackend.core.composite import composite
from kbackend.core.primitive import Primitive
from kbackend.engine.interface import Engine
from kbackend.ir.graph import Eqn, Graph, Var


@composite("dot_bias")
def dot_bias(x: Any, y: Any, bias: Any, *, contract: Any, batch: Any = ((), ())) -> Any:
    """`dot` plus a bias that broadcasts to its result."""
    return lang.add(lang.dot(x, y, contract, batch), bias)


@everywhere
def bias(graph: Graph, engine: Engine) -> Graph:
    """The graph with additions to products made one with them, if the engine has a kernel for it.

    Args:
        graph: any graph.
        engine: who will run it.
    """
    products = {
        eqn.outputs[0]: eqn
        for eqn in graph.eqns
        if eqn.op is lang.dot_p and engine.takes_composite("dot_bias", eqn.inputs[0].aval.dtype)
    }
    if not products:
        return graph
    taken = [atom for eqn in graph.eqns for atom in eqn.inputs] + list(graph.outputs)
    gone: set[Var] = set()
    eqns: list[Eqn] = []
    for eqn in graph.eqns:
        joined = _joined(eqn, products)
        if joined is None or taken.count(joined[0]) > 1:
            eqns.append(eqn)
        else:
            gone.add(joined[0])
            eqns.append(joined[1])
    return graph.replace([eqn for eqn in eqns if gone.isdisjoint(eqn.outputs)])


def _joined(eqn: Eqn, products: dict[Var, Eqn]) -> tuple[Var, Eqn] | None:
    """The product's result, and the equation for the product with the addition."""
    if not isinstance(eqn.op, Primitive) or eqn.op.name != "add":
        return None
    shape = eqn.outputs[0].aval.shape
    for atom, other in (eqn.inputs, eqn.inputs[::-1]):
        if isinstance(atom, Var) and atom in products and atom.aval.shape == shape:
            # A bias is smaller than what it is added to: a vector along the last dimensions.
            rank = len(other.aval.shape)
            if 0 < rank < len(shape) and other.aval.shape == shape[len(shape) - rank :]:
                product = products[atom]
                inputs = (*product.inputs, other)
                return atom, eqn._replace(op=dot_bias, inputs=inputs, params=product.params)
    return None
