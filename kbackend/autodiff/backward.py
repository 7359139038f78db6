"""Reverse accumulation: from the cotangents of results back to those of arguments."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from kbackend.core import lang
from kbackend.core.bind import Differentiable


class Node(NamedTuple):
    """One applied op, as a tape remembers it."""

    op: Differentiable
    args: Sequence[Any]
    results: tuple[Any, ...]
    params: dict[str, Any]


def reachable(nodes: Sequence[Node], sources: Collection[int]) -> set[int]:
    """Ids of the values that depend on the sources."""
    found = set(sources)
    for node in nodes:
        if not found.isdisjoint(map(id, node.args)):
            found.update(map(id, node.results))
    return found


def accumulate(nodes: list[Node], cotangents: dict[int, Any], sources: Collection[int]) -> None:
    """Runs the nodes backwards, replacing `cotangents` of results by those of the sources.

    Args:
        nodes: in the order in which they were applied. Emptied on the way, so that what is no
            longer needed can be freed; pass a copy to keep them.
        cotangents: id of a value -> its cotangent; changed in place.
        sources: ids of the values whose cotangents are wanted.
    """
    connected = reachable(nodes, sources)
    while nodes:
        node = nodes.pop()
        gs = []
        for result in node.results:
            key = id(result)
            gs.append(cotangents.get(key) if key in sources else cotangents.pop(key, None))
        needs = [id(arg) in connected for arg in node.args]
        if not any(needs) or all(g is None for g in gs):
            continue
        given: Any
        outcome: Any
        if getattr(node.op, "partial", False):
            # Its rule knows what to do where a result has no cotangent.
            given, outcome = tuple(gs), node.results
        elif len(gs) == 1:
            given, outcome = gs[0], node.results[0]
        else:
            given = tuple(
                lang.zeros(r.shape, r.dtype) if g is None else g
                for g, r in zip(gs, node.results, strict=True)
            )
            outcome = node.results
        if getattr(node.op, "multiple_results", False) and len(gs) == 1:
            given, outcome = (given,), (outcome,)
        for need, arg, g in zip(
            needs,
            node.args,
            node.op.backward(needs, given, outcome, node.args, node.params),
            strict=True,
        ):
            if need and g is not None:
                key = id(arg)
                before = cotangents.get(key)
                cotangents[key] = g if before is None else lang.add(before, g)
