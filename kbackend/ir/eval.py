"""Running a graph equation by equation: on tensors it computes, on symbolic values it traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.core.bind import bind
from kbackend.core.composite import Composite
from kbackend.core.primitive import Primitive
from kbackend.ir.graph import Eqn, Graph, Lit, Var


def apply(eqn: Eqn, args: Sequence[Any]) -> tuple[Any, ...]:
    """Results of one equation for the given arguments."""
    op = eqn.op
    if isinstance(op, Primitive):
        out = bind(op, *args, **eqn.params)
    elif isinstance(op, Composite):
        out = op(*args, **eqn.params)
    else:
        out = op.apply(args, eqn.params)
    return out if isinstance(out, tuple) else (out,)


def evaluate(graph: Graph, args: Sequence[Any]) -> list[Any]:
    """The graph's outputs for the given inputs.

    Args:
        graph: what to run.
        args: a tensor (or symbolic value) per input.
    """
    values: dict[Var, Any] = dict(zip(graph.inputs, args, strict=True))

    def read(atom: Any) -> Any:
        return atom.value if atom.__class__ is Lit else values[atom]

    for eqn in graph.eqns:
        outs = apply(eqn, [read(atom) for atom in eqn.inputs])
        values.update(zip(eqn.outputs, outs, strict=True))
    return [read(atom) for atom in graph.outputs]
