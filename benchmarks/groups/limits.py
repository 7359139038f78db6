"""How far each engine's training step is from what the machine could do, and where the rest goes.

The limit is the time of the step's floating point operations at the speed of the machine's matrix
product, plus that of its bytes at the speed of memory, as if nothing could be done side by side nor
stay in a cache. So a step can be faster than its limit.
"""

from __future__ import annotations

from .. import machine
from ..bench import Bench
from ..records import Record

GROUP = "limits"


def run(bench: Bench) -> None:
    """All chosen models on kbackend's engines."""
    quick = bench.options.quick
    if not bench.results.ceilings:
        bench.say("limits: ceilings of the machine")
        bench.results.ceilings = machine.ceilings(quick)
    for model in bench.chosen_models():
        for name, peer in bench.peers.items():
            if not peer.ours:
                continue
            bench.say(f"limits: {model.name} on {name}")
            found = bench.call(
                GROUP,
                model.name,
                name,
                "groups.limits_calls:step",
                model=model.name,
                repeats=3 if quick else 15,
            )
            if found is not None:
                facts = {key: found[key] for key in ("flops", "bytes", "kernels")}
                samples = tuple(found["samples"])
                record = Record(GROUP, model.name, "fit", name, "s", samples, facts)
                bench.results.records.append(record)
