"""The batch is cut in parts: most of a step is then done part by part, in one equation.

Each part's intermediate results are small enough to stay in a cache, and parts are independent, so
that an engine may do them side by side with nothing to wait for in between. Sums over the batch,
such as gradients of weights, become sums of the parts' sums: this reassociates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kbackend.compiler.parts.section import Section
from kbackend.compiler.parts.spread import PARTIAL, WHOLE, Spread, Zeros, spread
from kbackend.core.composite import Composite
from kbackend.engine.program import Cut
from kbackend.ir.cost import Cost, eqn_cost, nbytes
from kbackend.ir.dead import variables
from kbackend.ir.graph import Eqn, Graph, Lit, Var, subgraphs
from kbackend.ir.parts import PARTS
from kbackend.ir.trace import body_graph

# Less than this share of the operations in parts isn't worth the sums and joins.
_SHARE = 0.7


def split(graph: Graph, batch: int, count: Callable[[Cut], int]) -> Graph:
    """The graph with one equation for all that can be done part by part.

    Args:
        graph: any graph.
        batch: how many of the inputs, from the first, are data with a common first dimension.
        count: the number of parts for what could be cut; 1 leaves the graph as it is.
    """
    data = [var for var in graph.inputs[:batch] if var.aval.shape]
    if not data or len({var.aval.shape[0] for var in data}) != 1:
        return graph
    rows = data[0].aval.shape[0] or 0
    if rows < 2 or rows % 2:
        return graph
    parts = 2
    steps = _sorted(graph, data, parts)
    wanted = count(_cut(graph, steps, rows))
    if wanted < 2 or rows % wanted:
        return graph
    if wanted != parts:
        steps = _sorted(graph, data, wanted)
    return _joined(graph, data, steps, wanted)


class _Steps(NamedTuple):
    """The equations that come before the parts, those that are done in parts, and those after."""

    before: list[Eqn]
    inside: list[tuple[Eqn, Spread]]
    after: list[Eqn]


def _cut(graph: Graph, steps: _Steps, rows: int) -> Cut:
    """What an engine should know to decide."""
    done = sum((eqn_cost(eqn) for eqn, _ in steps.inside), Cost())
    total = sum((eqn_cost(eqn) for eqn in graph.eqns), Cost())
    shared: dict[Var, int] = {}
    for eqn, found in steps.inside:
        forms = (*found.inputs, *found.outputs)
        for atom, form in zip((*eqn.inputs, *eqn.outputs), forms, strict=True):
            if isinstance(atom, Var) and form in (WHOLE, PARTIAL):
                shared[atom] = nbytes(atom.aval)
    flops = done.flops if done.flops >= _SHARE * total.flops else 0
    loops = any(map(_loops, [eqn for eqn, _ in steps.inside]))
    return Cut(rows, flops, done.bytes, sum(shared.values()), loops)


def _loops(eqn: Eqn) -> bool:
    """Whether an equation is a loop, or has one in its body."""
    if isinstance(eqn.op, Composite):
        avals = tuple([atom.aval for atom in eqn.inputs])
        return any(map(_loops, body_graph(eqn.op, avals, dict(eqn.params)).graph.eqns))
    return any(True for _ in subgraphs(eqn))


def _joined(graph: Graph, data: Sequence[Var], steps: _Steps, parts: int) -> Graph:
    """The graph with the equations inside as one."""
    section = Section(parts)
    forms: dict[Var, int] = dict.fromkeys(data, 0)
    for eqn in steps.before:
        section.remember(eqn)
    for eqn, found in steps.inside:
        section.add(eqn, found)
        forms.update(zip(eqn.outputs, found.outputs, strict=True))
    needed = variables(graph.outputs)
    for eqn in steps.after:
        needed |= variables(eqn.inputs)
    results = [v for eqn, _ in steps.inside for v in eqn.outputs if v in needed]
    operands = section.operands()
    outputs = tuple([section.atom(v, forms[v]) for v in results])
    inputs = tuple([var for _, var, _ in operands])
    params = {
        "body": Graph(inputs, tuple(section.eqns), outputs, f"part of {graph.name}"),
        "count": parts,
        "cuts": tuple([form for _, _, form in operands]),
        "joins": tuple([max(forms[v], WHOLE) for v in results]),
    }
    cut = Eqn(PARTS, tuple([atom for atom, _, _ in operands]), tuple(results), params)
    return graph.replace([*steps.before, cut, *steps.after])


def _sorted(graph: Graph, data: Sequence[Var], parts: int) -> _Steps:
    """The equations, by where they belong."""
    forms: dict[Var, int] = dict.fromkeys(graph.inputs, WHOLE) | dict.fromkeys(data, 0)
    before: list[Eqn] = []
    inside: list[tuple[Eqn, Spread]] = []
    after: list[Eqn] = []
    late: set[Var] = set()
    zeros = Zeros()
    for eqn in graph.eqns:
        zeros.see(eqn)
        found = None
        if late.isdisjoint(variables(eqn.inputs)):
            mine = [WHOLE if isinstance(a, Lit) else forms[a] for a in eqn.inputs]
            found = spread(eqn, mine, parts, zeros)
        if found is None:
            after.append(eqn)
            late.update(eqn.outputs)
            continue
        forms.update(zip(eqn.outputs, found.outputs, strict=True))
        if all(form == WHOLE for form in (*found.inputs, *found.outputs)):
            before.append(eqn)
        else:
            inside.append((eqn, found))
    return _Steps(before, inside, after)
