"""The rules that every graph keeps, checked: after tracing, and after each pass in tests."""

from __future__ import annotations

from kbackend.base.errors import GraphError
from kbackend.core.aval import Aval
from kbackend.core.composite import Composite
from kbackend.core.primitive import Primitive
from kbackend.ir.graph import Eqn, Graph, Var, subgraphs
from kbackend.ir.trace import body_graph


def infer(eqn: Eqn) -> tuple[Aval, ...]:
    """Avals of an equation's results by its op's own rule."""
    avals = [atom.aval for atom in eqn.inputs]
    op = eqn.op
    if isinstance(op, Primitive):
        out = op.infer(avals, dict(eqn.params))
        return tuple(out) if op.multiple_results else (out,)
    if isinstance(op, Composite):
        return body_graph(op, tuple(avals), dict(eqn.params)).out_avals
    return tuple(op.infer(avals, dict(eqn.params)))


def verify(graph: Graph, around: frozenset[Var] = frozenset()) -> Graph:
    """The graph itself, if it keeps the rules.

    Args:
        graph: what to check; graphs inside of it are checked, too.
        around: variables that must not be defined again.

    Raises:
        GraphError: a variable is used before it is defined, or defined twice; or an equation's
            results are not what its op says.
    """
    defined: set[Var] = set()

    def define(var: Var, what: str) -> None:
        if var in defined or var in around:
            raise GraphError(f"[{graph.name}] {what} defines a variable a second time: {var}.")
        defined.add(var)

    for var in graph.inputs:
        define(var, "an input")
    for number, eqn in enumerate(graph.eqns):
        label = f"equation {number} ({eqn.op.name})"
        for atom in eqn.inputs:
            if isinstance(atom, Var) and atom not in defined:
                raise GraphError(f"[{graph.name}] {label} uses {atom} before it is defined.")
        for name, inner in subgraphs(eqn):
            try:
                verify(inner, around | defined)
            except GraphError as error:
                raise GraphError(f"[{graph.name}] in '{name}' of {label}: {error}") from None
        expected = infer(eqn)
        found = tuple([var.aval for var in eqn.outputs])
        if [a[:2] for a in expected] != [a[:2] for a in found]:
            raise GraphError(
                f"[{graph.name}] the results of {label} should be "
                f"{', '.join(map(str, expected))}. Received: {', '.join(map(str, found))}."
            )
        for var in eqn.outputs:
            define(var, label)
    for atom in graph.outputs:
        if isinstance(atom, Var) and atom not in defined:
            raise GraphError(f"[{graph.name}] an output is never defined: {atom}.")
    return graph
