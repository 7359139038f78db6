"""Order: an equation whose results only leave the graph runs as soon as it can.

In a training step these are the updates of variables. Traced, they come last; run right after their
gradients, they find them in the cache, and the gradients' memory is free for others.
"""

from __future__ import annotations

from kbackend.compiler.passes.inner import everywhere
from kbackend.ir.graph import Eqn, Graph, Var


@everywhere
def schedule(graph: Graph) -> Graph:
    """The graph with its equations in an order that needs less memory."""
    made = {var: i for i, eqn in enumerate(graph.eqns) for var in eqn.outputs}
    readers: dict[Var, list[int]] = {}
    for i, eqn in enumerate(graph.eqns):
        for atom in eqn.inputs:
            if isinstance(atom, Var):
                readers.setdefault(atom, []).append(i)
    leaving = {i for i, eqn in enumerate(graph.eqns) if readers.keys().isdisjoint(eqn.outputs)}
    behind: dict[int, list[int]] = {}
    for i in sorted(leaving):
        makers = [made[atom] for atom in graph.eqns[i].inputs if atom in made]
        # The old value of a variable may be written over, so its other readers come first.
        others = [
            j
            for var in _old(graph.eqns[i], made)
            for j in readers[var]
            if j != i and not (j in leaving and var in _old(graph.eqns[j], made))
        ]
        place = max(makers + others) if makers else max([i, *others])
        behind.setdefault(place, []).append(i)
    order: list[Eqn] = []
    for i, eqn in enumerate(graph.eqns):
        if i not in leaving:
            order.append(eqn)
        order += [graph.eqns[j] for j in behind.get(i, ())]
    same = all(new is old for new, old in zip(order, graph.eqns, strict=True))
    return graph if same else graph.replace(order)


def _old(eqn: Eqn, made: dict[Var, int]) -> list[Var]:
    """Inputs of the graph that a result may be written over."""
    results = {var.aval[:2] for var in eqn.outputs}
    inputs = [atom for atom in eqn.inputs if isinstance(atom, Var) and atom not in made]
    return [var for var in inputs if var.aval[:2] in results]
