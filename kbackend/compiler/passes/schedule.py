"""Order: an equation whose results only leave the graph runs as soon as it can.

In a training step these are the updates of variables. Traced, they come last; run right after their
gradients, they find them in the cache, and the gradients' memory is free for others. So that they
need not wait for a rate that depends on the step alone, scalars that can be known at the beginning
are computed there. An engine may want small updates together (`room`): then they wait for others.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from kbackend.compiler.passes.domain import is_elementwise
from kbackend.compiler.passes.fused import Fused
from kbackend.compiler.passes.inner import everywhere
from kbackend.core.composite import Composite
from kbackend.ir.cost import nbytes
from kbackend.ir.graph import Atom, Eqn, Graph, Lit, Var


@everywhere
def schedule(graph: Graph, room: int = 0) -> Graph:
    """The graph with its equations in an order that needs less memory.

    Args:
        graph: any graph.
        room: bytes that small elementwise equations may keep alive so as to run together.
    """
    taken = {atom for eqn in graph.eqns for atom in eqn.inputs}
    eqns = _scalars_first(graph, taken)
    made = {var: i for i, eqn in enumerate(eqns) for var in eqn.outputs}
    readers: dict[Var, list[int]] = {}
    for i, eqn in enumerate(eqns):
        for atom in eqn.inputs:
            if isinstance(atom, Var):
                readers.setdefault(atom, []).append(i)
    leaving = {i for i, eqn in enumerate(eqns) if taken.isdisjoint(eqn.outputs)}
    places: dict[int, int] = {}
    for i in sorted(leaving):
        makers = [made[atom] for atom in eqns[i].inputs if atom in made]
        # The old value of a variable may be written over, so its other readers come first.
        others = [
            j
            for var in _old(eqns[i], made)
            for j in readers[var]
            if j != i and not (j in leaving and var in _old(eqns[j], made))
        ]
        places[i] = max(makers + others) if makers else max([i, *others])
    _gather(eqns, places, made, room)
    behind: dict[int, list[int]] = {}
    for i, place in places.items():
        behind.setdefault(place, []).append(i)
    order: list[Eqn] = []
    for i, eqn in enumerate(eqns):
        if i not in leaving:
            order.append(eqn)
        order += [eqns[j] for j in behind.get(i, ())]
    same = all(new is old for new, old in zip(order, graph.eqns, strict=True))
    return graph if same else graph.replace(order)


def _scalars_first(graph: Graph, taken: Set[Atom]) -> list[Eqn]:
    """The equations, with those in front that others take and that need no more than scalars which
    are inputs of the graph."""
    known = {var for var in graph.inputs if not var.aval.shape}
    first: list[Eqn] = []
    rest: list[Eqn] = []
    for eqn in graph.eqns:
        scalar = not any(var.aval.shape for var in eqn.outputs)
        ready = all(isinstance(atom, Lit) or atom in known for atom in eqn.inputs)
        simple = is_elementwise(eqn) or isinstance(eqn.op, Composite | Fused)
        if scalar and ready and simple and not taken.isdisjoint(eqn.outputs):
            first.append(eqn)
            known.update(eqn.outputs)
        else:
            rest.append(eqn)
    return [*first, *rest]


def _gather(eqns: list[Eqn], places: dict[int, int], made: Mapping[Var, int], room: int) -> None:
    """Puts off small equations, so that several have one place: that of the last."""
    waiting: list[int] = []
    held = 0
    for i, place in sorted(places.items(), key=lambda item: item[1]):
        eqn = eqns[i]
        kept = sum(nbytes(atom.aval) for atom in set(eqn.inputs) if atom in made)
        if not room or not isinstance(eqn.op, Fused) or eqn.op.domain.axes or kept > room // 4:
            continue
        waiting.append(i)
        held += kept
        places.update(dict.fromkeys(waiting, place))
        if held > room:
            waiting, held = [], 0


def _old(eqn: Eqn, made: dict[Var, int]) -> list[Var]:
    """Inputs of the graph that a result may be written over."""
    results = {var.aval[:2] for var in eqn.outputs}
    inputs = [atom for atom in eqn.inputs if isinstance(atom, Var) and atom not in made]
    return [var for var in inputs if var.aval[:2] in results]
