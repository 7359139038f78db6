"""Convolutions alone: methods of the Numba engine beside the NumPy engine and PyTorch."""

from __future__ import annotations

import time

from ..bench import SETTLE_SECONDS, Bench
from ..records import Record
from .convolution_cases import CASES

GROUP = "convolutions"

# Methods of a peer, by the setting that chooses them.
METHODS = {"kbackend-numba": ("direct", "exact", "fast"), "kbackend-numpy": ("",), "torch": ("",)}
OPERATIONS = ("forward", "input", "filters")
# Seconds of one repetition.
_BUDGET, _QUICK_BUDGET = 0.05, 0.02


def run(bench: Bench) -> None:
    """All cases in all three directions."""
    quick = bench.options.quick
    ways = [(peer, method) for peer in METHODS if peer in bench.peers for method in METHODS[peer]]
    for case in CASES:
        if quick and not case.quick:
            continue
        bench.say(f"convolutions: {case.name}")
        for operation in OPERATIONS:
            how = {"case": case.name, "operation": operation}
            samples: dict[tuple[str, str], list[float]] = {}
            for peer, method in ways:
                load = "groups.convolution_calls:load"
                if bench.call(GROUP, case.name, peer, load, **how, method=method):
                    samples[peer, method] = []
            for _ in range(bench.options.repeats):
                for (peer, method), found in samples.items():
                    time.sleep(SETTLE_SECONDS)
                    seconds = bench.call(
                        GROUP, case.name, peer, "groups.convolution_calls:seconds",
                        method=method, budget=_QUICK_BUDGET if quick else _BUDGET,
                    )  # fmt: skip
                    if seconds is not None:
                        found.append(seconds)
            for (peer, method), found in samples.items():
                if found:
                    name = f"{peer}:{method}" if method else peer
                    facts = {"flops": case.flops}
                    record = Record(GROUP, case.name, operation, name, "s", tuple(found), facts)
                    bench.results.records.append(record)
