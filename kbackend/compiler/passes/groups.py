"""Equations in groups, each of which is to become one equation. Groups must not need each other."""

from __future__ import annotations

from kbackend.ir.graph import Atom, Graph, Var


class Groups:
    """Equations by the group that they belong to, and which groups need which.

    Args:
        graph: whose equations; at first each is a group by itself.
    """

    def __init__(self, graph: Graph) -> None:
        self.eqns = graph.eqns
        self.outputs = graph.outputs
        self.of = list(range(len(graph.eqns)))
        self.members = [[i] for i in range(len(graph.eqns))]
        self.maker = {var: i for i, eqn in enumerate(graph.eqns) for var in eqn.outputs}
        # Equation -> those whose results it takes.
        self._takes = [
            {
                self.maker[atom]
                for atom in eqn.inputs
                if atom.__class__ is Var and atom in self.maker
            }
            for eqn in graph.eqns
        ]
        # Groups of several members.
        self._joined: set[int] = set()

    def needs(self, group: int) -> set[int]:
        """The groups whose results a group takes."""
        found = {self.of[j] for i in self.members[group] for j in self._takes[i]}
        found.discard(group)
        return found

    def apart(self, group: int, other: int) -> bool:
        """Whether neither of two groups needs the other through a third: they may be joined."""
        return not (
            self._reaches(self.needs(other) - {group}, group)
            or self._reaches(self.needs(group) - {other}, other)
        )

    def _reaches(self, start: set[int], target: int) -> bool:
        """Whether any of the groups needs `target`, directly or through others."""
        seen, stack = set(start), list(start)
        floor = self._floor(target)
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

    def _floor(self, target: int) -> int:
        """A group whose last member is before this one can't need `target`.

        An equation needs earlier ones only. But the group of an earlier one may have members that
        are later again, and so lead on.
        """
        floor = self.members[target][0]
        spans = [(self.members[g][-1], self.members[g][0]) for g in self._joined]
        for last, first in sorted(spans, reverse=True):
            if last < floor:
                break
            floor = min(floor, first)
        return floor

    def join(self, group: int, other: int) -> None:
        """Moves the members of `other` into `group`."""
        for i in self.members[other]:
            self.of[i] = group
        self.members[group] = sorted(self.members[group] + self.members[other])
        self.members[other] = []
        self._joined.discard(other)
        self._joined.add(group)

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

    def used(self) -> dict[int, set[Var]]:
        """Group -> its results that are needed outside of it."""
        used: dict[int, set[Var]] = {}

        def use(atom: Atom, by: int) -> None:
            if isinstance(atom, Var) and atom in self.maker:
                group = self.of[self.maker[atom]]
                if group != by:
                    used.setdefault(group, set()).add(atom)

        for i, eqn in enumerate(self.eqns):
            for atom in eqn.inputs:
                use(atom, self.of[i])
        for atom in self.outputs:
            use(atom, -1)
        return used
