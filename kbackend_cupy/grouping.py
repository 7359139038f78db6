"""Which steps of a program become one launch.

A step moves forward to an earlier one that it can share a launch with, past all steps between them
that neither write what it touches nor touch what it writes. If it needs what that launch makes, and
is small, it is done behind everything else there, by the last block of threads.
"""

from __future__ import annotations

from kbackend.engine.extents import Extents
from kbackend.engine.program import Program, Step
from kbackend_cupy.codegen.launch import THREADS, Launch
from kbackend_cupy.codegen.together import ROOM, room, together
from kbackend_cupy.launches import PreparedCalls

# How many groups a step looks back.
_FAR = 200
# Elements of a step that one block does as soon as a launch would be under way.
_SMALL = 8192


class Group:
    """Steps that are done at once.

    Args:
        program: that they belong to.
        step: the first of them.

    Attributes:
        steps: side by side.
        tail: those behind them, one after the other.
        launches: of all of them, as far as they can be shared.
        extents: what all of them touch.
    """

    def __init__(self, program: Program, step: Step) -> None:
        self.steps, self.tail = [step], list[Step]()
        self.extents = Extents(program, step)
        launch = alone(step)
        self.launches = [] if launch is None else [launch]
        self._room = sum(map(room, self.launches))

    @property
    def all(self) -> list[Step]:
        """The steps in an order in which they may be done."""
        return [*self.steps, *self.tail]

    @property
    def launch(self) -> Launch | None:
        """The one launch of several steps; it gets the arrays of all, and a tail's ticket."""
        if len(self.all) == 1:
            return None
        count = len(self.steps)
        return together(self.launches[:count], self.launches[count:])

    @property
    def closed(self) -> bool:
        """Whether nobody knows what the steps touch: general kernels may return views."""
        return any(step.prepared is None for step in self.steps)

    def apart(self, other: Group) -> bool:
        """Whether neither writes what the other one touches."""
        return self.extents.apart(other.extents)

    def takes(self, other: Group) -> bool:
        """Whether another group's launch can be a part of this one's."""
        if not self._fits(other) or other.tail:
            return False
        threads = [launch.block[0] for launch in (*self.launches, *other.launches)]
        # Products take many registers of few threads each, and would hold them for all.
        return {THREADS} == set(threads) or max(threads) < THREADS

    def precedes(self, other: Group) -> bool:
        """Whether another group's launch can be done at the end of this one's."""
        if not self._fits(other) or len(other.launches) > 1:
            return False
        launches = (*self.launches, *other.launches)
        small = all(launch.size <= _SMALL for launch in other.launches)
        return small and all(launch.block[0] == THREADS for launch in launches)

    def _fits(self, other: Group) -> bool:
        launches = self.launches and other.launches
        return bool(launches) and self._room + other._room <= ROOM

    def add(self, other: Group, behind: bool) -> None:
        """Makes another group's only step its own.

        Args:
            other: the group.
            behind: whether its step belongs to the tail.
        """
        place = len(self.launches) if behind else len(self.steps)
        self.launches[place:place] = other.launches
        (self.tail if behind else self.steps).extend(other.steps)
        self.extents.add(other.extents)
        self._room += other._room


def alone(step: Step) -> Launch | None:
    """The launch of a step that is one kernel, and nothing else."""
    made = step.prepared
    if not isinstance(made, PreparedCalls):
        return None
    launches = made.launches or made.joint
    return launches[0] if len(launches) == 1 and launches[0].kernel is not None else None


def groups(program: Program) -> list[Group]:
    """The steps of a program in the order in which they are done, those of one launch together."""
    found: list[Group] = []
    for step in program.steps:
        group = Group(program, step)
        if not _moved_forward(found, group):
            found.append(group)
    return _moved_back(found)


def _moved_forward(found: list[Group], group: Group) -> bool:
    """Whether a step shares the launch of a group before."""
    for other in reversed(found[-_FAR:]):
        if other.closed:
            return False
        apart = other.apart(group)
        if not apart and not other.precedes(group):
            return False
        if not apart or other.takes(group):
            other.add(group, not apart)
            return True
    return False


def _moved_back(groups: list[Group]) -> list[Group]:
    """Lets steps that nobody needs at once share the launch of a group behind them."""
    found: list[Group] = []
    for group in reversed(groups):
        for other in reversed(found[-_FAR:]) if len(group.all) == 1 else ():
            if other.closed or group.closed or not other.apart(group):
                found.append(group)
                break
            if other.takes(group):
                other.add(group, False)
                break
        else:
            found.append(group)
    return found[::-1]
