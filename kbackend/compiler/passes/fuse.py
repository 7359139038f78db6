"""Elementwise equations of one shape that feed each other become one equation: a region.

What lies between them is then never written to memory as a whole. A region must stay runnable in
one go: no path may leave it and come back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kbackend.compiler.passes.inner import everywhere
from kbackend.core.aval import Aval
from kbackend.core.composite import Composite
from kbackend.core.primitive import Primitive
from kbackend.engine.program import Node, Region, Spec
from kbackend.ir.eval import evaluate
from kbackend.ir.graph import Atom, Eqn, Graph, Lit, Var


@dataclass(frozen=True, eq=False)
class Fused:
    """The op of an equation that stands for several.

    Attributes:
        graph: the equations.
        known: position -> value of the inputs that are literal scalars.
    """

    graph: Graph
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
            graph.outputs[0].aval.shape,  # type: ignore[arg-type]
            self.known,
        )


def _spec(aval: Aval) -> Spec:
    return Spec(aval.shape, aval.dtype)  # type: ignore[arg-type]


class _Groups:
    """Equations by the group that they belong to, and which groups need which."""

    def __init__(self, graph: Graph) -> None:
        self.eqns = graph.eqns
        self.of = list(range(len(graph.eqns)))
        self.members = [[i] for i in range(len(graph.eqns))]
        self.maker = {var: i for i, eqn in enumerate(graph.eqns) for var in eqn.outputs}

    def needs(self, group: int) -> set[int]:
        """The groups whose results a group takes."""
        found = {
            self.of[self.maker[atom]]
            for i in self.members[group]
            for atom in self.eqns[i].inputs
            if atom.__class__ is Var and atom in self.maker
        }
        return found - {group}

    def reaches(self, start: set[int], target: int) -> bool:
        """Whether any of the groups needs `target`, directly or through others."""
        seen, stack = set(start), list(start)
        # Members of a group only come later than what it needs, so nothing before the target's
        # first member can lead to it.
        floor = self.members[target][0]
        while stack:
            group = stack.pop()
            if group == target:
                return True
            if self.members[group][-1] < floor:
                continue
            fresh = self.needs(group) - seen
            seen |= fresh
            stack.extend(fresh)
        return False

    def join(self, group: int, other: int) -> None:
        """Moves the members of `other` into `group`."""
        for i in self.members[other]:
            self.of[i] = group
        self.members[group] = sorted(self.members[group] + self.members[other])
        self.members[other] = []

    def in_order(self) -> list[int]:
        """The groups, each after those that it needs."""
        order: list[int] = []
        state: dict[int, bool] = {}
        for i in range(len(self.eqns)):
            stack = [self.of[i]]
            while stack:
                group = stack[-1]
                if group in state:
                    stack.pop()
                    if not state[group]:
                        state[group] = True
                        order.append(group)
                    continue
                state[group] = False
                stack.extend(g for g in sorted(self.needs(group), reverse=True) if g not in state)
        return order


@everywhere
def fuse(graph: Graph, fusible: Callable[[Eqn], bool]) -> Graph:
    """The graph with elementwise equations gathered in regions.

    Args:
        graph: any graph.
        fusible: whether the engine can run an equation inside a region; asked of elementwise
            primitives and of composites.
    """
    groups = _Groups(graph)
    able = [_may_be_elementwise(eqn) and fusible(eqn) for eqn in graph.eqns]
    for i, eqn in enumerate(graph.eqns):
        if not able[i]:
            continue
        shape = eqn.outputs[0].aval.shape
        for atom in eqn.inputs:
            if atom.__class__ is not Var or atom not in groups.maker:
                continue
            producer = groups.maker[atom]
            group, mine = groups.of[producer], groups.of[i]
            if group == mine or not able[producer] or _shape(graph.eqns[producer]) != shape:
                continue
            # Joined, the two must not need each other through a third.
            if not groups.reaches(groups.needs(mine) - {group}, group):
                groups.join(group, mine)
    eqns: list[Eqn] = []
    used = _users(graph, groups)
    for group in groups.in_order():
        members = [graph.eqns[i] for i in groups.members[group]]
        if len(members) == 1:
            eqns.append(members[0])
        elif group in used:
            eqns.append(_region(members, used[group]))
    return graph.replace(eqns)


def _may_be_elementwise(eqn: Eqn) -> bool:
    """Whether an operation is elementwise, or a composite, of which the engine has to say so."""
    return isinstance(eqn.op, Composite) or (
        isinstance(eqn.op, Primitive) and eqn.op.kind == "elementwise"
    )


def _shape(eqn: Eqn) -> Any:
    return eqn.outputs[0].aval.shape


def _users(graph: Graph, groups: _Groups) -> dict[int, set[Var]]:
    """Group -> its results that are needed outside of it."""
    used: dict[int, set[Var]] = {}

    def use(atom: Atom, by: int) -> None:
        if isinstance(atom, Var) and atom in groups.maker:
            group = groups.of[groups.maker[atom]]
            if group != by:
                used.setdefault(group, set()).add(atom)

    for i, eqn in enumerate(graph.eqns):
        for atom in eqn.inputs:
            use(atom, groups.of[i])
    for atom in graph.outputs:
        use(atom, -1)
    return used


def _region(members: list[Eqn], used: set[Var]) -> Eqn:
    """One equation for several. Inputs are what comes from outside, literals too."""
    made = {eqn.outputs[0] for eqn in members}
    outside: dict[Atom | tuple[str, int], tuple[Atom, Var]] = {}

    def enter(atom: Atom) -> Var:
        if isinstance(atom, Var) and atom in made:
            return atom
        key: Any = ("literal", id(atom.value)) if isinstance(atom, Lit) else atom
        if key not in outside:
            outside[key] = (atom, Var(atom.aval))
        return outside[key][1]

    inner = [eqn._replace(inputs=tuple([enter(atom) for atom in eqn.inputs])) for eqn in members]
    # Results inside the region are variables of its own graph.
    fresh = {eqn.outputs[0]: Var(eqn.outputs[0].aval) for eqn in members}
    inner = [
        eqn._replace(
            inputs=tuple([fresh.get(atom, atom) for atom in eqn.inputs]),  # type: ignore[arg-type]
            outputs=(fresh[eqn.outputs[0]],),
        )
        for eqn in inner
    ]
    outputs = [eqn.outputs[0] for eqn in members if eqn.outputs[0] in used]
    graph = Graph(
        tuple([var for _, var in outside.values()]),
        tuple(inner),
        tuple([fresh[var] for var in outputs]),
        "region",
    )
    source = next((eqn.source for eqn in members if any(eqn.source)), members[0].source)
    inputs = tuple([atom for atom, _ in outside.values()])
    known = {
        position: np.asarray(atom.value).item()
        for position, atom in enumerate(inputs)
        if isinstance(atom, Lit) and not atom.aval.shape
    }
    return Eqn(Fused(graph, known), inputs, tuple(outputs), {}, source)
