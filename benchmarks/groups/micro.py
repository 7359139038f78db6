"""The smallest things, on each engine of kbackend: the cost of a call, and primitives by size.

Both stand beside raw NumPy in the same process, and primitives below the machine's ceilings, which
are measured in the same run.
"""

from __future__ import annotations

from typing import Any

from .. import machine
from ..bench import Bench
from ..records import Record

GROUP = "micro"

# Raw NumPy, measured in the process of an engine; not a peer of its own.
NUMPY = "numpy"


def _add(bench: Bench, phase: str, peer: str, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        facts: dict[str, Any] = {key: row[key] for key in ("flops", "bytes") if key in row}
        for who, samples in ((peer, row["ours"]), (f"{peer}:{NUMPY}", row.get("numpy"))):
            if samples:
                record = Record(GROUP, row["case"], phase, who, "s", tuple(samples), facts)
                bench.results.records.append(record)


def run(bench: Bench) -> None:
    """Dispatch, calls and primitives of each engine, and the growth of memory over many steps."""
    quick = bench.options.quick
    bench.say("micro: ceilings of the machine")
    bench.results.ceilings = machine.ceilings(quick)
    for name, peer in bench.peers.items():
        if not peer.ours:
            continue
        for phase in ("dispatch", "calls", "primitives"):
            bench.say(f"micro: {phase} on {name}")
            rows = bench.call(
                GROUP,
                phase,
                name,
                f"groups.micro_calls:{phase}",
                repeats=bench.options.repeats,
                quick=quick,
            )
            _add(bench, phase, name, rows or [])
        grown = bench.call(
            GROUP, "growth", name, "groups.micro_calls:growth", steps=100 if quick else 1000
        )
        if grown is not None:
            bench.results.records.append(
                Record(GROUP, "memory over steps", "growth", name, "bytes", (grown,))
            )
