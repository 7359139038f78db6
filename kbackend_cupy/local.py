"""Memory that launches need only while they run: as they follow each other, they share it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kbackend.base.dtypes import itemsize
from kbackend.engine.program import ARENA, Place, Spec, Step
from kbackend_cupy.grouping import Group
from kbackend_cupy.launches import PreparedCalls

# What every array's address is a multiple of.
_ALIGNED = 256


class Local:
    """Where the launches of a program find their tickets and what they write for themselves.

    The tickets come first, so that nothing else is written over what must be 0.

    Args:
        groups: the steps, by launches.
        begin: bytes before it in the same memory.

    Attributes:
        tickets: of the launch that has the most.
        begin: the first byte.
        end: the byte behind the last.
    """

    def __init__(self, groups: Sequence[Group], begin: int) -> None:
        self.begin = _up(begin)
        self.tickets = max((_tickets(group) for group in groups), default=0)
        self._arrays = self.begin + _up(4 * self.tickets)
        sizes = [sum(_bytes(s) for step in g.all for s in _calls(step).own) for g in groups]
        self.end = self._arrays + max(sizes, default=0)

    def ticket(self) -> tuple[Place, Spec]:
        """The ticket of a launch of several steps."""
        return Place(ARENA, self.begin), Spec((1,), "uint32")

    def arrays(self, group: Group) -> Iterator[list[tuple[Place, Spec]]]:
        """For each step of a group its arrays, and its tickets."""
        place, ticket = self._arrays, self.begin + 4
        for step in group.all:
            found = []
            for spec in _calls(step).own:
                found.append((Place(ARENA, place), spec))
                place += _bytes(spec)
            count = _calls(step).tickets
            yield [*found, (Place(ARENA, ticket), Spec((count,), "uint32"))]
            ticket += 4 * count


def _calls(step: Step) -> PreparedCalls:
    made = step.prepared
    return made if isinstance(made, PreparedCalls) else _NOTHING


def _tickets(group: Group) -> int:
    count = sum(_calls(step).tickets for step in group.all)
    return 1 + count if count or group.tail else 0


def _bytes(spec: Spec) -> int:
    return _up(spec.size * itemsize(spec.dtype))


def _up(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


_NOTHING = PreparedCalls(print)
