"""A program's calls as one CUDA graph, which the host launches in a single call.

The first run makes its calls, so that all kernels are loaded. Variables keep their memory from run
to run, and as soon as they do, a run's calls are recorded, for the memory that they were given. An
input that comes in other memory again and again, as batches do, is copied to a place of the graph's
own. One that moves now and then, as a weight does that is set, is not: its calls are recorded anew.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kbackend.base.garbage import uncollected
from kbackend.engine.program import Program, Step
from kbackend_cupy.results import Results

if TYPE_CHECKING:
    from kbackend_cupy.replay import Replay

_log = logging.getLogger("kbackend.cupy")

# An input that has moved in this many runs one after the other, or so often in all, is copied.
_STREAK, _OFTEN = 2, 8
# How often recording may fail.
_TRIES = 3


class Recorder:
    """Records a program, and launches what it recorded.

    Args:
        cp: the module `cupy`.
        program: what is recorded.
        general: a step that can't be recorded, because its kernel allocates.
    """

    def __init__(self, cp: Any, program: Program, general: Step | None) -> None:
        self._cp, self._program, self._general = cp, program, general
        self._updated = {program.inputs.index(i) for i, _ in program.updates}
        # Addresses of the inputs in the last run, and those that the graph knows.
        self._last: list[int] | None = None
        self._recorded: list[int] = []
        # How often each input has moved: in the last runs without a pause, and in all.
        self._streaks = [0] * len(program.inputs)
        self._moves = [0] * len(program.inputs)
        # Inputs that are copied to memory of the graph's own, and that memory.
        self._staged: dict[int, Any] = {}
        self._results: Any = None
        self._graph: Any = None
        # How often recording has failed; whether the calls can't be recorded, and the log says why.
        self._failures = 0
        self._refused = False

    def ready(self, arrays: Sequence[Any]) -> bool:
        """Whether this run may be that of a graph."""
        last, now = self._last, [a.data.ptr for a in arrays]
        self._last = now
        if last is None or not self._program.steps or self._refused:
            return False
        if self._general is not None:
            self._say(f"there is no kernel for '{self._general.name}' that a stream can record.")
            self._refused = True
            return False
        settled = True
        for i, (a, b) in enumerate(zip(now, last, strict=True)):
            if a == b:
                self._streaks[i] = 0
                continue
            self._streaks[i] += 1
            self._moves[i] += 1
            often = self._streaks[i] >= _STREAK or self._moves[i] >= _OFTEN
            if often and i not in self._updated and i not in self._staged:
                self._staged[i] = self._cp.empty_like(arrays[i])
            # What has just moved may do so again.
            settled = settled and i in self._staged
        return settled

    def _say(self, why: str) -> None:
        _log.info(
            "The program '%s' runs call by call, not as a CUDA graph: %s", self._program.name, why
        )

    def replay(self, run: Replay, arrays: Sequence[Any]) -> list[Any] | None:
        """Runs the graph, recorded anew if memory has moved.

        Returns:
            The outputs; `None` if nothing was done, since the calls can't be recorded.
        """
        fixed = [0 if i in self._staged else a.data.ptr for i, a in enumerate(arrays)]
        if self._graph is None or fixed != self._recorded:
            cuda = self._cp.cuda
            try:
                self._record(run, [self._staged.get(i, a) for i, a in enumerate(arrays)])
            except (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError) as error:
                # Another thread may have been to blame.
                self._failures += 1
                if self._failures == _TRIES:
                    self._refused = True
                    self._say(f"recording them failed: {error}")
                return None
            self._recorded = fixed
        stream = self._cp.cuda.get_current_stream()
        for i, own in self._staged.items():
            if own.nbytes:
                own.data.copy_from_device_async(arrays[i].data, own.nbytes, stream)
        # A graph may be launched into any stream.
        self._graph.launch(stream)
        found = dict(zip(self._program.inputs, arrays, strict=True))
        found |= zip(run.made, self._results.copied(stream), strict=True)
        return [
            found[value] if value in found else run.array(value) for value in self._program.outputs
        ]

    def _record(self, run: Replay, arrays: Sequence[Any]) -> None:
        cp = self._cp
        run.bind_inputs(arrays)
        if self._results is None:
            specs = self._program.specs
            self._results = Results(cp, [specs[value] for value in run.made])
        for value, array in zip(run.made, self._results.arrays, strict=True):
            run.bind(value, array)
        stream = cp.cuda.Stream(non_blocking=True)
        # A graph that is found to be garbage can't be destroyed meanwhile.
        with uncollected(), stream:
            # Other threads may allocate meanwhile.
            stream.begin_capture(cp.cuda.runtime.streamCaptureModeThreadLocal)
            try:
                run.run()
            finally:
                self._graph = stream.end_capture()
