"""The passes in their order, and the whole way from a traced graph to a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kbackend.compiler.lower import lower
from kbackend.compiler.passes.algebra import algebra
from kbackend.compiler.passes.cse import cse
from kbackend.compiler.passes.dce import dce
from kbackend.compiler.passes.epilogue import epilogue
from kbackend.compiler.passes.fold import fold
from kbackend.compiler.passes.fuse import fuse
from kbackend.compiler.passes.inline import inline
from kbackend.compiler.passes.licm import licm
from kbackend.compiler.passes.reassociate import reassociate
from kbackend.compiler.passes.remat import remat
from kbackend.compiler.passes.scattered import scattered
from kbackend.compiler.passes.schedule import schedule
from kbackend.compiler.passes.split import split
from kbackend.core.composite import Composite
from kbackend.engine.interface import Engine
from kbackend.engine.program import REDUCTIONS, Program, Spec
from kbackend.ir.graph import Eqn, Graph


class Pass(NamedTuple):
    """A step of the way.

    Attributes:
        name: what it is called in listings.
        run: from a graph to a graph.
    """

    name: str
    run: Callable[[Graph], Graph]


def passes(engine: Engine, batch: int = 0) -> list[Pass]:
    """The passes for an engine, in their order.

    Args:
        engine: where the program will run.
        batch: how many of the graph's first inputs are data with a common first dimension.
    """

    def keep(eqn: Eqn) -> bool:
        if not isinstance(eqn.op, Composite):
            return False
        avals: list[Any] = [atom.aval for atom in eqn.inputs]
        specs = tuple([Spec(aval.shape, aval.dtype) for aval in avals])
        return engine.takes_composite(eqn.op.name, specs)

    def fusible(eqn: Eqn) -> bool:
        name = eqn.op.name
        if name not in engine.fusible or name not in REDUCTIONS:
            return name in engine.fusible
        x: Any = eqn.inputs[0].aval
        return engine.fuses_reduction(name, Spec(x.shape, x.dtype), eqn.params["axes"])

    def able(eqn: Eqn) -> bool:
        return eqn.op.name in engine.epilogues

    def takes_rows(eqn: Eqn) -> bool:
        x, _, *indices = [Spec(a.aval.shape, a.aval.dtype) for a in eqn.inputs]  # type: ignore[arg-type]
        return engine.scatters(x, tuple(indices), eqn.params["axes"])

    def opened(graph: Graph) -> Graph:
        made = inline(graph, lambda eqn: keep(eqn) and not engine.opens(*_form(eqn)))
        # Bodies compute again what is the same for all of them, as a rate that depends on the step.
        return graph if len(made.eqns) == len(graph.eqns) else cse(made)

    def cut(graph: Graph) -> Graph:
        # What could be cut is looked for only where the engine has something to say about it.
        cuts = type(engine).parts is not Engine.parts
        return split(graph, batch, engine.parts) if cuts else graph

    return [
        Pass("inline", lambda graph: inline(graph, keep)),
        Pass("fold", fold),
        Pass("reassociate", reassociate),
        Pass("algebra", algebra),
        Pass("licm", licm),
        Pass("cse", cse),
        Pass("dce", dce),
        Pass("split", cut),
        Pass("remat", lambda graph: remat(graph, fusible)),
        Pass("epilogue", lambda graph: epilogue(graph, able, fusible)),
        Pass("open", opened),
        Pass("fuse", lambda graph: fuse(graph, fusible)),
        Pass("scattered", lambda graph: scattered(graph, takes_rows)),
        Pass("schedule", lambda graph: schedule(graph, engine.gathers)),
    ]


def _form(eqn: Eqn) -> tuple[str, str]:
    return eqn.op.name, eqn.inputs[0].aval.dtype


def stages(graph: Graph, engine: Engine) -> list[tuple[str, Graph]]:
    """The graph as it is traced, and after each pass, with the names of the passes."""
    found = [("trace", graph)]
    for one in passes(engine):
        graph = one.run(graph)
        found.append((one.name, graph))
    return found


def optimize(graph: Graph, engine: Engine, batch: int = 0) -> Graph:
    """The graph after all passes; see `passes`."""
    for one in passes(engine, batch):
        graph = one.run(graph)
    return graph


def compile_graph(
    graph: Graph, engine: Engine, updates: Sequence[tuple[int, int]] = (), batch: int = 0
) -> Program:
    """The planned program of a traced graph; see `passes` and `lower`."""
    return lower(optimize(graph, engine, batch), engine, updates)
