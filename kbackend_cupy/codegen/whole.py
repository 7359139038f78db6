"""Composites that are done in a few launches of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from kbackend.engine.program import Spec
from kbackend_cupy.codegen.launch import Launch
from kbackend_cupy.codegen.loop import fits
from kbackend_cupy.codegen.region import Plan

Specs = tuple[Spec, ...]
# (specs of the inputs, **parameters) -> those of the outputs
Outputs = Callable[..., Specs]
# Stands for the tickets, which follow all other arrays.
_TICKETS = -1


class Whole(NamedTuple):
    """How a composite is done in a few launches.

    Attributes:
        plan: plans its launches.
        takes: whether it does so for arguments of these specs.
        outputs: the specs of its results.
        single: whether it has one result, not a tuple of them.
    """

    plan: Callable[..., Plan | None]
    takes: Callable[[Specs], bool]
    outputs: Outputs
    single: bool = False


class Room:
    """A step's arrays and launches.

    Args:
        outputs: specs of the outputs.
        inputs: specs of the inputs.
    """

    def __init__(self, outputs: Specs, inputs: Specs) -> None:
        self._own = len(outputs) + len(inputs)
        self.specs = [*outputs, *inputs]
        self._launches: list[Launch] = []
        self._able, self._tickets = True, 0

    def new(self, *shape: int, dtype: str) -> int:
        """The position of a new array."""
        self.specs.append(Spec(shape, dtype))
        return len(self.specs) - 1

    def arrays(self, places: Mapping[str, int]) -> dict[str, tuple[int, Spec]]:
        """Arrays by name, with their positions and specs."""
        return {name: (place, self.specs[place]) for name, place in places.items()}

    def add(self, plan: Plan | None, *places: int) -> None:
        """Appends a plan.

        Args:
            plan: what to do; `None`: then there is none for the whole step.
            places: which arrays its outputs and inputs are.
        """
        if plan is None:
            self._able = False
            return
        arrays = [*places, *[self.new(*one.shape, dtype=one.dtype) for one in plan.scratch]]
        arrays.append(_TICKETS)
        # One launch follows the other, and leaves the tickets as it found them.
        self._tickets = max(self._tickets, plan.tickets)
        for one in plan.launches:
            own = tuple([arrays[i] for i in one.arrays])
            self.launch(replace(one, arrays=own))

    def launch(self, *launches: Launch) -> None:
        """Appends launches."""
        self._launches += launches

    def plan(self) -> Plan | None:
        """What was put in, if all of it could be done."""
        if not self._able or not fits(*self.specs):
            return None
        last = len(self.specs)
        launches = [
            replace(one, arrays=tuple([last if i == _TICKETS else i for i in one.arrays]))
            for one in self._launches
        ]
        return Plan(tuple(launches), tuple(self.specs[self._own :]), tickets=self._tickets)
