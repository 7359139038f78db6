"""Elementwise equations and reductions that feed each other become one equation: a region.

What lies between them is then never written to memory as a whole, and what several of them read is
read once. A region must stay runnable in one go: no path may leave it and come back.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

from kbackend.compiler.passes.domain import Domain, domain_of
from kbackend.compiler.passes.fused import fused
from kbackend.compiler.passes.groups import Groups
from kbackend.compiler.passes.inner import everywhere
from kbackend.ir.graph import Atom, Eqn, Graph, Var


@everywhere
def fuse(graph: Graph, fusible: Callable[[Eqn], bool]) -> Graph:
    """The graph with elementwise equations and reductions gathered in regions.

    Args:
        graph: any graph.
        fusible: whether the engine can run an equation inside a region; asked of elementwise
            primitives, of composites, and of reductions.
    """
    fusion = _Fusion(graph, fusible)
    # Rows first: only they can go on behind a reduction.
    fusion.join_producers(lambda domain: domain.by_rows or not domain.axes)
    fusion.join_producers(lambda domain: bool(domain.axes))
    fusion.join_readers()
    groups = fusion.groups
    used = groups.used()
    eqns: list[Eqn] = []
    for group in groups.in_order():
        members = [graph.eqns[i] for i in groups.members[group]]
        if sum(eqn.op.name != "reshape" for eqn in members) < 2:
            eqns += members
        elif group in used:
            eqns += fused(members, fusion.domains[group], used[group])
    return graph.replace(eqns)


class _Fusion:
    """Which equations become regions.

    Attributes:
        groups: the equations of one region are one group.
        domains: group -> what it runs over; groups that can't be regions have none.
    """

    def __init__(self, graph: Graph, fusible: Callable[[Eqn], bool]) -> None:
        self.groups = Groups(graph)
        self.domains: dict[int, Domain] = {}
        for i, eqn in enumerate(graph.eqns):
            domain = domain_of(eqn)
            if domain is not None and fusible(eqn):
                self.domains[i] = domain

    def join_producers(self, wanted: Callable[[Domain], bool]) -> None:
        """Joins equations to those that make what they take, where that makes a wanted domain."""
        groups = self.groups
        for i, eqn in enumerate(groups.eqns):
            for atom in eqn.inputs:
                if atom.__class__ is not Var or atom not in groups.maker:
                    continue
                group = groups.of[groups.maker[atom]]
                if eqn.op.name == "reshape":
                    self._join_reshape(group, i, atom)
                else:
                    self._join(group, groups.of[i], wanted)

    def join_readers(self) -> None:
        """Joins regions with reductions over the same axes that read the same value."""
        groups = self.groups
        readers: dict[Atom, list[int]] = {}
        for i, eqn in enumerate(groups.eqns):
            domain = self.domains.get(groups.of[i])
            if domain is None or not domain.axes:
                continue
            for atom in eqn.inputs:
                if atom.__class__ is Var and atom.aval.shape == domain.shape:
                    readers.setdefault(atom, []).append(i)
        for found in readers.values():
            for i, j in combinations(found, 2):
                if self.domains[groups.of[i]] == self.domains[groups.of[j]]:
                    self._join(groups.of[i], groups.of[j], lambda domain: True)

    def _join(self, group: int, other: int, wanted: Callable[[Domain], bool]) -> None:
        one, two = self.domains.get(group), self.domains.get(other)
        if group == other or one is None or two is None:
            return
        domain = one.joined(two)
        if domain is None or not wanted(domain):
            return
        if domain.axes and not (self._allowed(group, other, domain) and self._worth(group, other)):
            return
        if self.groups.apart(group, other):
            self.groups.join(group, other)
            self.domains[group] = domain

    def _join_reshape(self, group: int, i: int, atom: Atom) -> None:
        """Takes in a reshape that only adds or drops the dimensions that are reduced."""
        domain, groups = self.domains.get(group), self.groups
        if domain is None or not domain.by_rows or groups.of[i] == group:
            return
        forms = (domain.kept, domain.squeezed)
        if atom.aval.shape in forms and groups.eqns[i].outputs[0].aval.shape in forms:
            groups.join(group, i)

    def _allowed(self, group: int, other: int, domain: Domain) -> bool:
        """Whether two groups may take each other's results inside of one region."""
        groups = self.groups
        both = (group, other)
        return all(
            domain.allows(eqn, atom)
            for one in both
            for eqn in [groups.eqns[i] for i in groups.members[one]]
            for atom in eqn.inputs
            if atom.__class__ is Var
            and atom in groups.maker
            and groups.of[groups.maker[atom]] in both
        )

    def _worth(self, group: int, other: int) -> bool:
        """Whether a value of the domain's size is read less often, or not written at all."""
        # Kept values are small, and lead from one reduction to the next.
        if self.domains[group].shape != self.domains[other].shape:
            return True
        return not self._touched(group).isdisjoint(self._touched(other))

    def _touched(self, group: int) -> set[Atom]:
        """The values of the domain's size that a group takes or makes."""
        shape, groups = self.domains[group].shape, self.groups
        return {
            atom
            for i in groups.members[group]
            for atom in (*groups.eqns[i].inputs, *groups.eqns[i].outputs)
            if atom.__class__ is Var and atom.aval.shape == shape
        }
