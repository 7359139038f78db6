"""One equation for several: the op that stands for a region, and how it is made of its members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kbackend.compiler.passes.domain import Domain, is_reduction
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.engine.program import Node, Region, Spec
from kbackend.ir.eval import evaluate
from kbackend.ir.graph import Atom, Eqn, Graph, Lit, Source, Var


@dataclass(frozen=True, eq=False)
class Fused:
    """The op of an equation that stands for several.

    Attributes:
        graph: the equations.
        domain: what they run over.
        known: position -> value of the inputs that are literal scalars.
    """

    graph: Graph
    domain: Domain
    known: Mapping[int, Any] = field(default_factory=dict)
    name = "region"

    def infer(self, avals: Sequence[Aval], params: dict[str, Any]) -> tuple[Aval, ...]:
        """Avals of the results."""
        return self.graph.out_avals

    def apply(self, args: Sequence[Any], params: Any) -> tuple[Any, ...]:
        """The results, computed one equation after the other."""
        return tuple(evaluate(self.graph, args))

    @property
    def region(self) -> Region:
        """The same as plain data, for engines. Literals have become inputs."""
        graph = self.graph
        numbers: dict[Var, int] = {var: i for i, var in enumerate(graph.inputs)}
        nodes = []
        for eqn in graph.eqns:
            (out,) = eqn.outputs
            inputs = tuple([numbers[atom] for atom in eqn.inputs])  # type: ignore[index]
            nodes.append(Node(eqn.op.name, inputs, eqn.params, _spec(out.aval)))
            numbers[out] = len(numbers)
        return Region(
            tuple([_spec(var.aval) for var in graph.inputs]),
            tuple(nodes),
            tuple([numbers[atom] for atom in graph.outputs]),  # type: ignore[index]
            self.domain.shape,
            self.known,
            self.domain.axes,
        )


def _spec(aval: Aval) -> Spec:
    return Spec(aval.shape, aval.dtype)  # type: ignore[arg-type]


def fused(members: Sequence[Eqn], domain: Domain, used: set[Var]) -> list[Eqn]:
    """One equation for several, with movements around it where kept values have another shape.

    Args:
        members: the equations, each after those that it needs.
        domain: what they run over.
        used: their results that are needed outside.

    Returns:
        The equations that take the place of the members.
    """
    return _Body(members, domain, used).equations(used)


class _Body:
    """The inside of a region while it is written.

    Inside, values that are kept have all dimensions, the reduced ones as 1, wherever others inside
    take them. So reshapes that add or drop those dimensions are nothing there.
    """

    def __init__(self, members: Sequence[Eqn], domain: Domain, used: set[Var]) -> None:
        self.domain = domain
        self.source = next((eqn.source for eqn in members if any(eqn.source)), members[0].source)
        # What others inside take; a reduction that is not among it ends here.
        self.taken = {atom for eqn in members for atom in eqn.inputs}
        # Result of a member -> the same inside.
        self.inside: dict[Var, Var] = {}
        self.eqns: list[Eqn] = []
        self.before: list[Eqn] = []
        self.inputs: dict[Any, tuple[Atom, Var]] = {}
        for eqn in members:
            self._add(eqn)

    def _add(self, eqn: Eqn) -> None:
        (out,) = eqn.outputs
        aval, params = out.aval, eqn.params
        if eqn.op.name == "reshape":
            self.inside[out] = self.inside[eqn.inputs[0]]  # type: ignore[index]
            return
        missing = aval.shape == self.domain.squeezed and aval.shape != self.domain.shape
        if is_reduction(eqn):
            if missing and out in self.taken:
                params = {**params, "keepdims": True}
                aval = Aval(self.domain.kept, aval.dtype)
            inputs = [self._atom(atom, False) for atom in eqn.inputs]
        else:
            if missing:
                aval = Aval(self.domain.kept, aval.dtype)
            inputs = [self._atom(atom, missing) for atom in eqn.inputs]
        self.inside[out] = Var(aval)
        self.eqns.append(Eqn(eqn.op, tuple(inputs), (self.inside[out],), params, eqn.source))

    def _atom(self, atom: Atom, missing: bool) -> Var:
        """An operand inside; with the reduced dimensions added if they are `missing`."""
        if isinstance(atom, Var) and atom in self.inside:
            return self.inside[atom]
        if missing and atom.aval.shape:
            atom = self._kept(atom)
        # A literal is an input, too: the same one wherever it is used.
        key: Any = ("literal", id(atom.value)) if isinstance(atom, Lit) else atom
        if key not in self.inputs:
            self.inputs[key] = (atom, Var(atom.aval))
        return self.inputs[key][1]

    def _kept(self, atom: Atom) -> Atom:
        """A value from outside with the reduced dimensions, by a movement before the region."""
        shape = (*atom.aval.shape, *(1 for _ in self.domain.axes))
        for eqn in self.before:
            if eqn.inputs[0] is atom:
                return eqn.outputs[0]
        self.before.append(_reshape(atom, Var(Aval(shape, atom.aval.dtype)), self.source))
        return self.before[-1].outputs[0]

    def equations(self, used: set[Var]) -> list[Eqn]:
        """The region with what has to be moved before and after it."""
        wanted = [(var, inner) for var, inner in self.inside.items() if var in used]
        alike = {inner: var for var, inner in wanted if var.aval.shape == inner.aval.shape}
        # Inside -> the same outside.
        outputs: dict[Var, Var] = {}
        after: list[Eqn] = []
        for var, inner in wanted:
            outer = outputs.setdefault(inner, alike.get(inner) or Var(inner.aval))
            if outer is not var:
                after.append(_reshape(outer, var, self.source))
        graph = Graph(
            tuple([var for _, var in self.inputs.values()]),
            tuple(self.eqns),
            tuple(outputs),
            "region",
        )
        inputs = tuple([atom for atom, _ in self.inputs.values()])
        known = {
            position: np.asarray(atom.value).item()
            for position, atom in enumerate(inputs)
            if isinstance(atom, Lit) and not atom.aval.shape
        }
        op = Fused(graph, self.domain, known)
        region = Eqn(op, inputs, tuple(outputs.values()), {}, self.source)
        return [*self.before, region, *after]


def _reshape(atom: Atom, out: Var, source: Source) -> Eqn:
    return Eqn(lang.reshape_p, (atom,), (out,), {"shape": out.aval.shape}, source)
