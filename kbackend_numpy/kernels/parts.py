"""Work that a kernel splits itself: into parts, for as many workers as it is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbackend_numpy import threads


def workers_for(work: float) -> int:
    """Threads among which to split so many nanoseconds of work."""
    return threads.count() if work > threads.WORTH_SPLITTING else 1


def run_parts(part: Callable[[int, int], Any], parts: int, workers: int) -> None:
    """Calls `part(index, worker)` for all parts, on several threads if there are to be several."""
    if workers > 1 and threads.active():
        threads.split(part, parts)
    else:
        for index in range(parts):
            part(index, 0)
