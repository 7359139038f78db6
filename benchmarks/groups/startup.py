"""Start-up: import time, the first step without and with compilation caches, installed size.

Each in new processes, peer after peer, round after round.
"""

from __future__ import annotations

import tempfile

from ..bench import Bench
from ..models import all_models
from ..processes import CallError
from ..records import Record

GROUP = "startup"

# The model whose first step is taken; of kbackend's engines that of each model.
MODEL = "mlp"


def _round(bench: Bench, samples: dict[tuple[str, str], list[float]]) -> None:
    quick = bench.options.quick
    for name, peer in list(bench.peers.items()):
        for model in all_models() if peer.ours and not quick else (MODEL,):
            with tempfile.TemporaryDirectory() as folder:
                # The first process finds empty caches, the second what the first has left.
                for phase in ("cold",) if quick else ("cold", "cached"):
                    case = f"first step of {model}, {phase}"
                    try:
                        with bench.process(peer, peer.cache_environment(folder)) as process:
                            times = process.call("groups.startup_calls:first_step", model=model)
                    except CallError as error:
                        bench.fail(GROUP, case, name, error)
                        continue
                    samples.setdefault((case, name), []).append(times["step"])
                    samples.setdefault(("import", name), []).append(times["import"])


def run(bench: Bench) -> None:
    """Times of all peers, and their sizes."""
    samples: dict[tuple[str, str], list[float]] = {}
    rounds = 1 if bench.options.quick else min(5, bench.options.repeats)
    for turn in range(rounds):
        bench.say(f"startup: round {turn + 1} of {rounds}")
        _round(bench, samples)
    for (case, name), seconds in samples.items():
        bench.results.records.append(Record(GROUP, case, "start", name, "s", tuple(seconds)))
    sizes = bench.call_each(
        GROUP, "installed size", list(bench.peers), "groups.startup_calls:installed_size"
    )
    for name, size in sizes.items():
        bench.results.records.append(
            Record(
                GROUP,
                "installed size",
                "size",
                name,
                "bytes",
                (size["bytes"],),
                {"packages": size["packages"]},
            )
        )
