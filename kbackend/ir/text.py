"""Graphs as text, one equation a line.

    step(a: float32[2,3], b: float32[3,4]) {
      c: float32[2,4] = dot(a, b) contract=((1,), (0,))
      return c
    }

Names are given in order, so that equal graphs have equal texts. Graphs inside of equations follow
them, indented.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kbackend.ir.graph import Atom, Eqn, Graph, Lit, Var


class _Names:
    """a, b, ..., z, aa, ab, ..."""

    def __init__(self) -> None:
        self._known: dict[Var, str] = {}

    def __call__(self, var: Var) -> str:
        name = self._known.get(var)
        if name is None:
            number, name = len(self._known), ""
            while True:
                number, letter = divmod(number, 26)
                name = chr(ord("a") + letter) + name
                if not number:
                    break
                number -= 1
            self._known[var] = name
        return name


def to_text(graph: Graph, sources: bool = False) -> str:
    """The graph as text.

    Args:
        graph: what to print.
        sources: whether each equation is followed by where it comes from.
    """
    return "\n".join(_lines(graph, _Names(), "", sources))


def _atom(atom: Atom, names: _Names) -> str:
    if isinstance(atom, Lit):
        if atom.aval.shape:
            return f"<{atom.aval}>"
        return np.array2string(np.asarray(atom.value))
    return names(atom)


def _param(value: Any) -> str:
    return value.name if isinstance(value, Graph) else repr(value)


def _lines(graph: Graph, names: _Names, indent: str, sources: bool) -> Iterator[str]:
    inputs = ", ".join(f"{names(v)}: {v.aval}" for v in graph.inputs)
    yield f"{indent}{graph.name}({inputs}) {{"
    for eqn in graph.eqns:
        yield f"{indent}  {_eqn(eqn, names, sources)}"
        for inner in _inside(eqn):
            yield from _lines(inner, names, f"{indent}    ", sources)
    yield f"{indent}  return {', '.join(_atom(v, names) for v in graph.outputs)}"
    yield f"{indent}}}"


def _inside(eqn: Eqn) -> Iterator[Graph]:
    own = getattr(eqn.op, "graph", None)
    if isinstance(own, Graph):
        yield own
    for value in eqn.params.values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Graph):
                yield item


def _eqn(eqn: Eqn, names: _Names, sources: bool) -> str:
    outs = ", ".join(f"{names(v)}: {v.aval}" for v in eqn.outputs)
    args = ", ".join(_atom(v, names) for v in eqn.inputs)
    params = "".join(
        f" {key}={_param(value)}"
        for key, value in eqn.params.items()
        if not isinstance(value, tuple) or not any(isinstance(v, Graph) for v in value)
    )
    where = f"  # {eqn.source}" if sources and any(eqn.source) else ""
    return f"{outs} = {eqn.op.name}({args}){params}{where}"


# A graph prints itself; the printer needs the types first.
Graph.__str__ = to_text  # type: ignore[method-assign, assignment]
