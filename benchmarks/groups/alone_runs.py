"""Kernels alone: the peers take turns."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..bench import SETTLE_SECONDS, Bench
from ..records import Record

# Seconds of one repetition.
_BUDGET, _QUICK_BUDGET = 0.05, 0.02


def side_by_side(
    bench: Bench,
    group: str,
    case: str,
    operation: str,
    ways: Sequence[tuple[str, str]],
    calls: str,
    flops: int,
) -> None:
    """Times an operation and adds the records.

    Args:
        bench: what runs.
        group: of the records.
        case: what is computed.
        operation: what of it.
        ways: peers, each with a method of its own or "".
        calls: module with `load` and `seconds`, which are called in the peers' processes.
        flops: floating point operations of a call.
    """
    samples: dict[tuple[str, str], list[float]] = {}
    for peer, method in ways:
        how = {"case": case, "operation": operation, "method": method}
        if bench.call(group, case, peer, f"{calls}:load", **how):
            samples[peer, method] = []
    budget = _QUICK_BUDGET if bench.options.quick else _BUDGET
    for _ in range(bench.options.repeats):
        for (peer, method), found in samples.items():
            time.sleep(SETTLE_SECONDS)
            seconds = bench.call(
                group, case, peer, f"{calls}:seconds", method=method, budget=budget
            )
            if seconds is not None:
                found.append(seconds)
    for (peer, method), found in samples.items():
        if found:
            name = f"{peer}:{method}" if method else peer
            record = Record(group, case, operation, name, "s", tuple(found), {"flops": flops})
            bench.results.records.append(record)
