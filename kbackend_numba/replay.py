"""Compiled programs: neighbouring compiled kernels become one tape, which runs without Python."""

from __future__ import annotations

from typing import Any

from kbackend.engine.extents import Extents
from kbackend.engine.interface import Engine
from kbackend.engine.program import ARENA, Place, Program, Step
from kbackend_numba.kernels import region
from kbackend_numba.native import Native, Tape
from kbackend_numpy.replay import Replay

# Nanoseconds of work from which on a loop has its threads for itself: a barrier is nothing beside
# it, and what a thread has made in the loop before is in its cache.
_LONG = 200_000.0


class NativeReplay(Replay):
    """A program that is ready to run; see `Replay`.

    Args:
        engine: whose kernels compute what is not prepared.
        program: the planned program.
    """

    def __init__(self, engine: Engine, program: Program) -> None:
        # Memory of the last call on the tape, if others can be done along with it.
        self._open: Extents | None = None
        super().__init__(engine, program)

    def _add(self, number: int, step: Step) -> None:
        prepared = step.prepared
        if not isinstance(prepared, Native):
            self._open = None
            super()._add(number, step)
            return
        tape = self.calls[-1][0] if self.calls else None
        if not isinstance(tape, Tape):
            tape = Tape()
            self._append(number, tape, [])
            self._open = None
        joined = self._joins(step, prepared)
        values: list[Any] = [*step.outputs, *step.inputs]
        for spec, offset in zip(prepared.scratch, step.scratch, strict=True):
            values.append(self._view(Place(ARENA, offset), spec))
        for call in prepared.calls:
            # Binding an array writes its address instead of an argument.
            pointers: Any = tape.add(call, joined)
            self._attach(pointers, [values[place] for place in call.arrays], 0)
        if prepared.check is not None:
            # Between two tapes, so that it comes before the next kernel.
            args: list[Any] = [None] * len(prepared.check.arrays)
            self._attach(args, [values[place] for place in prepared.check.arrays], 0)
            self._append(number, prepared.check.function, args)

    def _joins(self, step: Step, prepared: Native) -> bool:
        """Whether a step is done at once with those before: all are short loops, and none touches
        what another one writes."""
        simple = step.name in region.PREPARE and len(prepared.calls) == 1 and not prepared.scratch
        if not simple or prepared.calls[0].items * prepared.calls[0].cost > _LONG:
            self._open = None
            return False
        mine = Extents(self.program, step)
        if self._open is not None and self._open.apart(mine):
            self._open.add(mine)
            return True
        self._open = mine
        return False
