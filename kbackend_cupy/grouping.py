"""Which steps of a program become one launch.

A step moves forward to an earlier one that it can share a launch with, past all steps between them
that neither write what it touches nor touch what it writes.
"""

from __future__ import annotations

from kbackend.engine.extents import Extents
from kbackend.engine.program import Program, Step
from kbackend_cupy.codegen.launch import Launch
from kbackend_cupy.codegen.together import ROOM, room
from kbackend_cupy.launches import PreparedCalls

# How many groups a step looks back.
_FAR = 200


class Group:
    """Steps that are done at once.

    Args:
        program: that they belong to.
        step: the first of them.
    """

    def __init__(self, program: Program, step: Step) -> None:
        self.steps = [step]
        loop = alone(step)
        self.room = None if loop is None else room(loop)
        self.extents = Extents(program, step)

    def apart(self, other: Group) -> bool:
        """Whether neither writes what the other one touches."""
        return self.extents.apart(other.extents)

    def takes(self, other: Group) -> bool:
        """Whether another group's launch can be a part of this one's."""
        if self.room is None or other.room is None:
            return False
        return self.room + other.room <= ROOM

    def add(self, other: Group) -> None:
        """Makes another group's steps its own."""
        self.steps += other.steps
        self.extents.add(other.extents)
        self.room = (self.room or 0) + (other.room or 0)


def alone(step: Step) -> Launch | None:
    """The launch of a step that is one loop, and nothing else."""
    made = step.prepared
    if not isinstance(made, PreparedCalls) or len(made.launches) != 1 or made.scratch:
        return None
    return made.launches[0] if made.launches[0].loop is not None else None


def groups(program: Program) -> list[list[Step]]:
    """The steps of a program in the order in which they are done, those of one launch together."""
    found: list[Group] = []
    for step in program.steps:
        group = Group(program, step)
        other = _joined(found, group)
        if other is None:
            found.append(group)
        else:
            other.add(group)
    return [group.steps for group in found]


def _joined(found: list[Group], group: Group) -> Group | None:
    """The group before, if there is one, that a step can share a launch with."""
    if group.room is None:
        return None
    for other in reversed(found[-_FAR:]):
        # General kernels may return views of what they are given.
        if any(step.prepared is None for step in other.steps) or not other.apart(group):
            return None
        if other.takes(group):
            return other
    return None
