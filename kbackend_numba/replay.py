"""Compiled programs: neighbouring compiled kernels become one tape, which runs without Python."""

from __future__ import annotations

from typing import Any

from kbackend.engine.program import ARENA, Place, Step
from kbackend_numba.native import Native, Tape
from kbackend_numpy.replay import Replay


class NativeReplay(Replay):
    """A program that is ready to run; see `Replay`."""

    def _add(self, number: int, step: Step) -> None:
        prepared = step.prepared
        if not isinstance(prepared, Native):
            super()._add(number, step)
            return
        tape = self.calls[-1][0] if self.calls else None
        if not isinstance(tape, Tape):
            tape = Tape()
            self._append(number, tape, [])
        values: list[Any] = [*step.outputs, *step.inputs]
        for spec, offset in zip(prepared.scratch, step.scratch, strict=True):
            values.append(self._view(Place(ARENA, offset), spec))
        for call in prepared.calls:
            # Binding an array writes its address instead of an argument.
            pointers: Any = tape.add(call)
            self._attach(pointers, [values[place] for place in call.arrays], 0)
        if prepared.check is not None:
            # Between two tapes, so that it comes before the next kernel.
            args: list[Any] = [None] * len(prepared.check.arrays)
            self._attach(args, [values[place] for place in prepared.check.arrays], 0)
            self._append(number, prepared.check.function, args)
