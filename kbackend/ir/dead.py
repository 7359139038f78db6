"""What a graph's outputs do not depend on, dropped: equations, and parts of loops and branches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kbackend.ir.graph import Eqn, Graph, Var


def live(graph: Graph) -> Graph:
    """The graph with no more than its outputs need.

    An op with graphs inside says by its method `prune(eqn, used)` what becomes of its equation if
    only the results marked in `used` are needed.
    """
    needed = variables(graph.outputs)
    kept: list[Eqn] = []
    same = True
    for old in reversed(graph.eqns):
        used = [var in needed for var in old.outputs]
        if not any(used):
            same = False
            continue
        prune: Callable[[Eqn, Sequence[bool]], Eqn] | None = getattr(old.op, "prune", None)
        eqn = old if prune is None else prune(old, used)
        same = same and eqn is old
        kept.append(eqn)
        needed |= variables(eqn.inputs)
    return graph if same else graph.replace(kept[::-1])


def variables(atoms: Sequence[object]) -> set[Var]:
    """The variables among atoms."""
    return {atom for atom in atoms if isinstance(atom, Var)}


def used_inputs(graph: Graph) -> list[bool]:
    """Which inputs of the graph anything in it takes."""
    taken = variables(graph.outputs)
    for eqn in graph.eqns:
        taken |= variables(eqn.inputs)
    return [var in taken for var in graph.inputs]
