"""A gradient that is a few rows scattered among zeros goes to the optimizer's update as these rows.

Such is the gradient of a table whose rows were looked up: most of it is zero. The update is still
that of the whole table, but nobody writes the zeros and reads them again. It is for engines that
list the update among `scattered`; one whose kernel declines gets the two as steps of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kbackend.compiler.passes.inner import everywhere
from kbackend.core.aval import Aval
from kbackend.ir.eval import evaluate
from kbackend.ir.graph import Atom, Eqn, Graph, Var

# Where updates of optimizers take the gradient: behind the parameter.
_GRADIENT = 1


@dataclass(frozen=True, eq=False)
class Scattered:
    """The op of an update whose gradient is scattered.

    Attributes:
        graph: three equations: the zeros, the gradient, the update. Its inputs are the update's
            without the gradient, then the rows and the indices.
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
        _, scatter, update = self.graph.eqns
        return {"op": update.op.name, "params": update.params, "axes": scatter.params["axes"]}


@everywhere
def scattered(graph: Graph, able: Callable[[Eqn], bool]) -> Graph:
    """The graph with scattered gradients joined to the updates that take them.

    Args:
        graph: any graph.
        able: whether the engine has a kernel for such an update.
    """
    makers = {var: eqn for eqn in graph.eqns for var in eqn.outputs}
    uses: dict[Atom, int] = {}
    for atom in (*graph.outputs, *[atom for eqn in graph.eqns for atom in eqn.inputs]):
        uses[atom] = uses.get(atom, 0) + 1
    joined: dict[int, Eqn] = {}
    gone: set[int] = set()
    for number, eqn in enumerate(graph.eqns):
        gradient = eqn.inputs[_GRADIENT] if able(eqn) else None
        scatter = makers.get(gradient) if isinstance(gradient, Var) else None
        if scatter is None or uses[gradient] > 1 or not _adds_to_zeros(scatter, makers):  # type: ignore[index]
            continue
        zeros = makers[scatter.inputs[0]]  # type: ignore[index]
        joined[number] = _joined(zeros, scatter, eqn)
        gone.update([id(scatter)] if uses[zeros.outputs[0]] > 1 else [id(scatter), id(zeros)])
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


def _joined(zeros: Eqn, scatter: Eqn, update: Eqn) -> Eqn:
    gradient = scatter.outputs[0]
    outside = (*[a for a in update.inputs if a is not gradient], *scatter.inputs[1:])
    inside = [Var(atom.aval) for atom in outside]
    count = len(update.inputs) - 1
    base, made = Var(zeros.outputs[0].aval), Var(gradient.aval)
    given = inside[:count]
    results = tuple([Var(var.aval) for var in update.outputs])
    inner = (
        zeros._replace(outputs=(base,)),
        scatter._replace(inputs=(base, *inside[count:]), outputs=(made,)),
        update._replace(inputs=(*given[:_GRADIENT], made, *given[_GRADIENT:]), outputs=results),
    )
    op = Scattered(Graph(tuple(inside), inner, results, "scattered"))
    return Eqn(op, outside, update.outputs, {}, update.source)
