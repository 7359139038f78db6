"""A value that is a few rows scattered among zeros goes to the regions that take it as these rows.

Such is the gradient of a table whose rows were looked up: most of it is zero. The regions are those
of the optimizer: the update with all that is done before and after it, and a sum of squares for a
limit on norms. They still run over the whole table, but nobody writes the zeros and reads them
again. It is for engines that say so (`Engine.scatters`); one whose kernel declines for a region
gets the two as steps of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kbackend.compiler.passes.fused import Fused
from kbackend.compiler.passes.inner import everywhere
from kbackend.core.aval import Aval
from kbackend.ir.eval import evaluate
from kbackend.ir.graph import Atom, Eqn, Graph, Var


@dataclass(frozen=True, eq=False)
class Scattered:
    """The op of a region that takes scattered rows.

    Attributes:
        graph: three equations: the zeros, the sum of the rows, the region. Its inputs are the
            region's without that sum, then the rows and the indices.
    """

    graph: Graph
    name = "scattered"

    def infer(self, avals: Sequence[Aval], params: dict[str, Any]) -> tuple[Aval, ...]:
        """Avals of the results."""
        return self.graph.out_avals

    def apply(self, args: Sequence[Any], params: Any) -> tuple[Any, ...]:
        """The results, computed one equation after the other."""
        return tuple(evaluate(self.graph, args))

    @property
    def params(self) -> Mapping[str, Any]:
        """The same as plain data, for engines; see `kbackend.engine.program.Step`."""
        _, scatter, region = self.graph.eqns
        return {
            "region": region.op.region,
            "place": region.inputs.index(scatter.outputs[0]),
            "axes": scatter.params["axes"],
        }


@everywhere
def scattered(graph: Graph, able: Callable[[Eqn], bool]) -> Graph:
    """The graph with scattered rows joined to the regions that take them.

    Args:
        graph: any graph, with its regions.
        able: whether the engine's regions can take what an equation scatters among zeros.
    """
    makers = {var: eqn for eqn in graph.eqns for var in eqn.outputs}
    users: dict[Atom, list[int]] = {}
    for number, eqn in enumerate(graph.eqns):
        for atom in eqn.inputs:
            users.setdefault(atom, []).append(number)
    for atom in graph.outputs:
        users.setdefault(atom, []).append(len(graph.eqns))
    joined: dict[int, Eqn] = {}
    gone: set[int] = set()
    for scatter in graph.eqns:
        if not _adds_to_zeros(scatter, makers) or not able(scatter):
            continue
        total, taking = scatter.outputs[0], users.get(scatter.outputs[0], [])
        # A single one that needs the sum as it is would have it written.
        if not all(n not in joined and _takes(graph, n, total) for n in taking):
            continue
        zeros = makers[scatter.inputs[0]]  # type: ignore[index]
        joined.update({n: _joined(zeros, scatter, graph.eqns[n]) for n in taking})
        gone.update([id(scatter)] if len(users[zeros.outputs[0]]) > 1 else [id(scatter), id(zeros)])
    if not joined:
        return graph
    eqns = [joined.get(i, eqn) for i, eqn in enumerate(graph.eqns) if id(eqn) not in gone]
    return graph.replace(eqns)


def _adds_to_zeros(eqn: Eqn, makers: Mapping[Var, Eqn]) -> bool:
    """Whether an equation adds rows to nothing but zeros."""
    if eqn.op.name != "scatter" or eqn.params["mode"] != "add":
        return False
    base = makers.get(eqn.inputs[0]) if isinstance(eqn.inputs[0], Var) else None
    return base is not None and base.op.name == "full" and base.params["value"] == 0


def _takes(graph: Graph, number: int, total: Var) -> bool:
    """Whether an equation is a region over all elements of a sum, or of their totals."""
    op = graph.eqns[number].op if number < len(graph.eqns) else None
    if not isinstance(op, Fused) or op.domain.shape != total.aval.shape:
        return False
    return len(op.domain.axes) in (0, len(op.domain.shape))


def _joined(zeros: Eqn, scatter: Eqn, region: Eqn) -> Eqn:
    total = scatter.outputs[0]
    outside = (*[a for a in region.inputs if a is not total], *scatter.inputs[1:])
    inside = [Var(atom.aval) for atom in outside]
    count = len(region.inputs) - 1
    base, made = Var(zeros.outputs[0].aval), Var(total.aval)
    given = iter(inside)
    results = tuple([Var(var.aval) for var in region.outputs])
    inner = (
        zeros._replace(outputs=(base,)),
        scatter._replace(inputs=(base, *inside[count:]), outputs=(made,)),
        region._replace(
            inputs=tuple([made if a is total else next(given) for a in region.inputs]),
            outputs=results,
        ),
    )
    op = Scattered(Graph(tuple(inside), inner, results, "scattered"))
    return Eqn(op, outside, region.outputs, {}, region.source)
