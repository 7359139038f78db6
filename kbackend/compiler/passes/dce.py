"""Equations whose results nobody needs are dropped."""

from __future__ import annotations

from kbackend.compiler.passes.inner import everywhere
from kbackend.ir.graph import Eqn, Graph, Var


@everywhere
def dce(graph: Graph) -> Graph:
    """The graph without equations that no output depends on."""
    needed: set[Var] = {atom for atom in graph.outputs if isinstance(atom, Var)}
    kept: list[Eqn] = []
    for eqn in reversed(graph.eqns):
        if not needed.isdisjoint(eqn.outputs):
            kept.append(eqn)
            needed.update(atom for atom in eqn.inputs if isinstance(atom, Var))
    return graph if len(kept) == len(graph.eqns) else graph.replace(kept[::-1])
