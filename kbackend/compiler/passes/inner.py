"""Passes go inside: the bodies of loops and branches are rewritten before the graph around them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from kbackend.core.primitive import Primitive
from kbackend.ir.graph import Eqn, Graph

P = ParamSpec("P")
Rewriting = Callable[Concatenate[Graph, P], Graph]


def everywhere(rewriting: Rewriting[P]) -> Rewriting[P]:
    """Decorator: the pass, done to the graphs inside of equations before it is done to theirs.

    A pass so decorated leaves the inputs and outputs of graphs as they are in number and order.
    """

    @wraps(rewriting)
    def run(graph: Graph, *args: P.args, **kwargs: P.kwargs) -> Graph:
        graph = map_inner(graph, lambda inner: run(inner, *args, **kwargs))
        return rewriting(graph, *args, **kwargs)

    return run  # type: ignore[return-value]


def map_inner(graph: Graph, change: Callable[[Graph], Graph]) -> Graph:
    """The graph with `change` done to each graph among the parameters of its equations."""
    eqns = [_changed(eqn, change) for eqn in graph.eqns]
    same = all(new is old for new, old in zip(eqns, graph.eqns, strict=True))
    return graph if same else graph.replace(eqns)


def _changed(eqn: Eqn, change: Callable[[Graph], Graph]) -> Eqn:
    if eqn.op.__class__ is Primitive:
        # Has no graphs.
        return eqn
    params = {key: _param(value, change) for key, value in eqn.params.items()}
    same = all(params[key] is value for key, value in eqn.params.items())
    return eqn if same else eqn._replace(params=params)


def _param(value: Any, change: Callable[[Graph], Graph]) -> Any:
    if isinstance(value, Graph):
        return change(value)
    if isinstance(value, tuple) and any(isinstance(item, Graph) for item in value):
        changed = tuple([_param(item, change) for item in value])
        same = all(new is old for new, old in zip(changed, value, strict=True))
        return value if same else changed
    return value
