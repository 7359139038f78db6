"""The graph of one part, made of the equations that can be done part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kbackend.compiler.parts.spread import OWN, WHOLE, Spread, Zeros, part_aval, spread
from kbackend.core import lang
from kbackend.ir.graph import Atom, Eqn, Graph, Lit, Var


class Section:
    """Equations for one part, and what they take from outside.

    Args:
        parts: number of parts.
    """

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self.eqns: list[Eqn] = []
        # (what is taken, the axis it is cut along) -> (what is taken, the input that stands for it)
        self._operands: dict[tuple[Any, int], tuple[Atom, Var]] = {}
        # (variable outside, its form) -> the variable inside
        self._inside: dict[tuple[Var, int], Var] = {}
        self._fills: dict[Var, Eqn] = {}

    def enter(self, var: Var, form: int) -> Var:
        """A variable inside for one outside."""
        made = self._inside[var, form] = Var(part_aval(var.aval, form, self.parts))
        return made

    def remember(self, eqn: Eqn) -> None:
        """Notes an equation that makes a constant: a piece of it is made, not cut."""
        if eqn.op.name == "full":
            self._fills[eqn.outputs[0]] = eqn

    def add(self, eqn: Eqn, found: Spread) -> None:
        """Appends the equation for one part."""
        pairs = zip(eqn.inputs, found.inputs, strict=True)
        inputs = tuple([self.atom(atom, form) for atom, form in pairs])
        outs = zip(eqn.outputs, found.outputs, strict=True)
        outputs = tuple([self.enter(var, form) for var, form in outs])
        params = self._params(eqn, found, outputs[0].aval.shape)
        self.eqns.append(eqn._replace(inputs=inputs, outputs=outputs, params=params))

    def atom(self, atom: Atom, form: int) -> Atom:
        """What stands inside for a value, or for a piece of it."""
        if isinstance(atom, Var):
            if (atom, form) in self._inside:
                return self._inside[atom, form]
            if atom in self._fills:
                fill, made = self._fills[atom], self.enter(atom, form)
                params = {**fill.params, "shape": made.aval.shape}
                self.eqns.append(fill._replace(outputs=(made,), params=params))
                return made
        elif form == WHOLE:
            return atom
        elif form == OWN:
            rows = (atom.aval.shape[0] or 0) // self.parts
            return Lit(lang.slice_(atom.value, (0,), (rows,)))
        key = (id(atom.value) if isinstance(atom, Lit) else atom, form)
        if key not in self._operands:
            self._operands[key] = (atom, Var(part_aval(atom.aval, form, self.parts)))
        return self._operands[key][1]

    def operands(self) -> list[tuple[Atom, Var, int]]:
        """What is taken, the inputs that stand for it, and the axes it is cut along."""
        return [(atom, var, form) for (_, form), (atom, var) in self._operands.items()]

    def _params(self, eqn: Eqn, found: Spread, shape: Any) -> Mapping[str, Any]:
        """The parameters of the equation for one part."""
        name, params = eqn.op.name, eqn.params
        if name in ("reshape", "broadcast_to"):
            return {**params, "shape": shape}
        if name == "slice" and found.inputs[0] >= 0:
            stops = list(params["stops"])
            stops[found.inputs[0]] = shape[found.outputs[0]]
            return {**params, "stops": tuple(stops)}
        if name == "scan":
            rows = params["constants"] + params["carries"]
            forms = [*found.inputs[:rows], *[max(f - 1, WHOLE) for f in found.inputs[rows:]]]
            return {**params, "body": part_graph(params["body"], forms, self.parts)}
        return params


def part_graph(graph: Graph, forms: Sequence[int], parts: int) -> Graph:
    """The whole graph for one part, given the final forms of its inputs."""
    section = Section(parts)
    known = dict(zip(graph.inputs, forms, strict=True))
    inputs = [section.enter(var, form) for var, form in known.items()]
    zeros = Zeros()
    for eqn in graph.eqns:
        section.remember(eqn)
        zeros.see(eqn)
        mine = [WHOLE if isinstance(a, Lit) else known[a] for a in eqn.inputs]
        found = spread(eqn, mine, parts, zeros)
        if found is None:
            raise ValueError(f"[{graph.name}] {eqn.op.name} can't be done part by part.")
        section.add(eqn, found)
        known.update(zip(eqn.outputs, found.outputs, strict=True))
    outputs = [a if isinstance(a, Lit) else section.atom(a, known[a]) for a in graph.outputs]
    return graph.replace(section.eqns, outputs, inputs)
