"""Single layers, forward and with the way back, on the peers that have the Keras API."""

from __future__ import annotations

from ..bench import Bench
from .layer_cases import CASES

GROUP = "layers"

# Seconds of one repetition.
_BUDGET, _QUICK_BUDGET = 0.1, 0.03


def run(bench: Bench) -> None:
    """All layers on all peers with the Keras API."""
    peers = [name for name, peer in bench.peers.items() if peer.keras_api]
    budget = _QUICK_BUDGET if bench.options.quick else _BUDGET
    for case in CASES:
        if bench.options.quick and not case.quick:
            continue
        bench.say(f"layers: {case.name}")
        loaded = bench.call_each(GROUP, case.name, peers, "groups.layer_calls:load", case=case.name)
        for phase in ("forward", "step"):
            bench.interleave(
                GROUP,
                case.name,
                phase,
                list(loaded),
                f"groups.layer_calls:{phase}",
                extra=dict.fromkeys(loaded, {"shape": list(case.shape)}),
                budget=budget,
            )
