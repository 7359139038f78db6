"""A program's calls as one CUDA graph, which the host launches in a single call.

The first run makes its calls, so that all kernels are loaded. The second one records them, for the
memory that it was given. Variables keep their memory from run to run; an input that comes in other
memory, as batches do, is copied to a place of the graph's own from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kbackend.engine.program import Program, Step

if TYPE_CHECKING:
    from kbackend_cupy.replay import Replay

_log = logging.getLogger("kbackend.cupy")
# Recordings after which a program whose variables never stay where they are is no longer recorded.
_PATIENCE = 8


class Recorder:
    """Records a program, and launches what it recorded.

    Args:
        cp: the module `cupy`.
        program: what is recorded.
        general: a step that can't be recorded, because its kernel allocates.
    """

    def __init__(self, cp: Any, program: Program, general: Step | None) -> None:
        self._cp, self._program = cp, program
        self._inputs = len(program.inputs)
        self._updated = {program.inputs.index(i) for i, _ in program.updates}
        self._runs = 0
        self._recordings = 0
        self._able = general is None and bool(program.steps)
        self._reason = "" if general is None else f"'{general.name}' has no kernel to record"
        self._said = False
        self._graph: Any = None
        # Addresses that the graph knows; inputs that are copied to its own memory.
        self._addresses: list[int] = []
        self._staged: dict[int, Any] = {}
        self._outputs: list[Any] = []

    def ready(self, arrays: Sequence[Any]) -> bool:
        """Whether this run may be that of a graph."""
        self._runs += 1
        if self._runs == 1:
            return False
        if not self._able:
            self._say()
        return self._able

    def _say(self) -> None:
        if not self._said and self._reason:
            self._said = True
            _log.info(
                "The program '%s' runs call by call, not as a CUDA graph: %s.",
                self._program.name,
                self._reason,
            )

    def replay(self, run: Replay, arrays: Sequence[Any]) -> list[Any]:
        """Runs the graph, recorded anew if memory has moved; the outputs."""
        addresses = [a.data.ptr for a in arrays]
        if self._graph is None:
            self._record(run, arrays, addresses)
        else:
            moved = [
                i
                for i, (new, old) in enumerate(zip(addresses, self._addresses, strict=True))
                if new != old and i not in self._staged
            ]
            if moved:
                for i in moved:
                    if i not in self._updated:
                        self._staged[i] = self._cp.empty_like(arrays[i])
                self._record(run, arrays, addresses)
        for i, own in self._staged.items():
            own[...] = arrays[i]
        # A graph may be launched into any stream.
        self._graph.launch(self._cp.cuda.get_current_stream())
        made = dict(zip(run.made, self._outputs, strict=True))
        found = []
        for value in self._program.outputs:
            if value in made:
                found.append(made[value].copy())
            elif value in self._program.inputs:
                found.append(arrays[self._program.inputs.index(value)])
            else:
                found.append(run.array(value))
        return found

    def _record(self, run: Replay, arrays: Sequence[Any], addresses: list[int]) -> None:
        cp = self._cp
        self._recordings += 1
        if self._recordings > _PATIENCE:
            self._able, self._reason = False, "the memory of its variables moves all the time"
        given = [self._staged.get(i, array) for i, array in enumerate(arrays)]
        run.bind_inputs(given)
        if not self._outputs:
            run.bind_outputs()
            self._outputs = [run.array(value) for value in run.made]
        else:
            for value, array in zip(run.made, self._outputs, strict=True):
                run.bind(value, array)
        stream = cp.cuda.Stream(non_blocking=True)
        with stream:
            # Other threads may allocate meanwhile.
            stream.begin_capture(cp.cuda.runtime.streamCaptureModeThreadLocal)
            try:
                run.run()
            finally:
                graph = stream.end_capture()
        self._graph, self._addresses = graph, addresses
