"""Composites that the engine has no kernel for become their bodies. Gradients are
traced by then, so what only stops them goes."""

from __future__ import annotations

from collections.abc import Callable

from kbackend.compiler.passes.inner import everywhere, map_inner
from kbackend.core.composite import Composite
from kbackend.ir.control import STOP_GRADIENT
from kbackend.ir.graph import Eqn, Graph, Substitution, Var
from kbackend.ir.trace import body_graph


@everywhere
def inline(graph: Graph, keep: Callable[[Eqn], bool]) -> Graph:
    """The graph with composites replaced by the equations of their bodies.

    Args:
        graph: any graph.
        keep: whether an equation's composite stays whole.
    """
    eqns: list[Eqn] = []
    replaced = Substitution()
    # What the bodies of other composites do again is seen, so that it's done once.
    repeated = {
        eqn.op.repeats
        for eqn in graph.eqns
        if isinstance(eqn.op, Composite) and eqn.op.repeats is not None and not keep(eqn)
    }

    def add(eqn: Eqn) -> None:
        eqn = replaced.eqn(eqn)
        if eqn.op is STOP_GRADIENT:
            replaced[eqn.outputs[0]] = eqn.inputs[0]
            return
        if not isinstance(eqn.op, Composite) or (keep(eqn) and eqn.op not in repeated):
            eqns.append(eqn)
            return
        avals = tuple([atom.aval for atom in eqn.inputs])
        body = body_graph(eqn.op, avals, dict(eqn.params)).graph
        body = map_inner(body, lambda within: inline(within, keep))
        inner = Substitution()
        for var, atom in zip(body.inputs, eqn.inputs, strict=True):
            inner[var] = atom
        for old in body.eqns:
            fresh = tuple([Var(var.aval) for var in old.outputs])
            add(inner.eqn(old)._replace(outputs=fresh, source=eqn.source))
            for before, after in zip(old.outputs, fresh, strict=True):
                inner[before] = replaced(after)
        for var, atom in zip(eqn.outputs, body.outputs, strict=True):
            replaced[var] = inner(atom)

    for eqn in graph.eqns:
        add(eqn)
    return graph.replace(eqns, [replaced(atom) for atom in graph.outputs])
