"""Which of cuDNN's plans is the fastest here, or whether the kernels of ours are.

Each gives the same bits from run to run. But they round differently, and which one is chosen is a
matter of times, so the choice is kept on disk: as long as it is there, processes agree.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.program import Prepared, Spec
from kbackend_cupy.cudnn.case import Case
from kbackend_cupy.cudnn.plans import Found, Plans
from kbackend_cupy.launches import memory
from kbackend_cupy.modules import kernels

_log = logging.getLogger("kbackend.cupy")

# Stands for the kernels of ours among the names of plans.
_OWN = "own"
# Plans that are timed, calls that are timed at once, and how often.
_FEW, _CALLS, _TIMES = 6, 8, 3

# From a plan, or `None`, to calls that do the step with it, or with kernels of ours.
Maker = Callable[[Found | None], Prepared | None]


class Contest(NamedTuple):
    """What is chosen for.

    Attributes:
        case: the convolution.
        precise: whether products of float32 must be exact.
        rivals: names of the kernels of ours.
        specs: of the arrays that calls take, contiguous.
        make: gives the calls that are timed.
    """

    case: Case
    precise: bool
    rivals: tuple[str, ...]
    specs: tuple[Spec, ...]
    make: Maker


class Choices:
    """The plans that were chosen, each once.

    Args:
        cp: the module `cupy`.
        plans: what there is to choose from.
    """

    def __init__(self, cp: Any, plans: Plans) -> None:
        self._cp, self._plans = cp, plans
        self._known: dict[Any, Found | None] = {}

    def find(self, handle: int, contest: Contest) -> Found | None:
        """The plan for a case on the current device, or `None` for the kernels of ours.

        Args:
            handle: cuDNN's, for the current device.
            contest: what is to be done, and how it is timed.
        """
        case = contest.case
        precise = contest.precise and case.dtype == "float32"
        known = (self._cp.cuda.runtime.getDevice(), case, precise)
        if known not in self._known:
            try:
                self._known[known] = self._choose(handle, contest._replace(precise=precise))
            except self._plans.errors as error:
                _log.info("cuDNN has no plan for %s: %s", case, error)
                self._known[known] = None
        return self._known[known]

    def _choose(self, handle: int, contest: Contest) -> Found | None:
        plans, case, precise = self._plans, contest.case, contest.precise
        key = plans.key(case, precise, contest.rivals)
        noted = (kernels.read(key) or b"").decode()
        if noted == _OWN:
            return None
        found = next(plans.built(handle, case, precise, noted), None) if noted else None
        if found is not None:
            return found
        some = list(islice(plans.built(handle, case, precise), _FEW))
        if not some:
            return None
        try:
            arrays = [self._cp.zeros(spec.shape, numpy_dtype(spec.dtype)) for spec in contest.specs]
        except self._cp.cuda.memory.OutOfMemoryError:
            # The most promising one, until there is room to time them.
            return some[0]
        timed = []
        for place, one in enumerate([*some, None]):
            time = self._time(contest.make, one, arrays)
            if time is not None:
                timed.append((time, place))
        place = min(timed)[1] if timed else len(some)
        if place == len(some):
            kernels.write(key, _OWN.encode())
            return None
        kernels.write(key, some[place].name.encode())
        # A graph of its own, so that the memory of those that lost is freed.
        return next(plans.built(handle, case, precise, some[place].name), some[place])

    def _time(self, make: Maker, found: Found | None, arrays: Sequence[Any]) -> float | None:
        """Milliseconds of a step's calls in a graph, or `None` if they can't be recorded."""
        cp = self._cp
        try:
            made = make(found)
            return None if made is None else self._run(made, arrays)
        except cp.cuda.memory.OutOfMemoryError:
            return None
        except (*self._plans.errors, cp.cuda.runtime.CUDARuntimeError) as error:
            _log.info("'%s' can't be recorded: %s", found.name if found else _OWN, error)
            return None

    def _run(self, made: Prepared, arrays: Sequence[Any]) -> float:
        cp = self._cp
        scratch = memory(cp, made)
        # The arrays are made on the stream that is current.
        cp.cuda.get_current_stream().synchronize()
        stream = cp.cuda.Stream(non_blocking=True)
        begin, end = cp.cuda.Event(), cp.cuda.Event()
        best = float("inf")
        with stream:
            # What is made when it is first used must not be made while the stream records.
            made.run(*arrays, *scratch)
            stream.begin_capture(cp.cuda.runtime.streamCaptureModeThreadLocal)
            try:
                for _ in range(_CALLS):
                    made.run(*arrays, *scratch)
            finally:
                graph = stream.end_capture()
            graph.launch(stream)
            for _ in range(_TIMES):
                begin.record(stream)
                graph.launch(stream)
                end.record(stream)
                end.synchronize()
                best = min(best, cp.cuda.get_elapsed_time(begin, end))
        return best
