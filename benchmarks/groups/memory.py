"""Memory: the peak of a training, resident and planned, each in a process of its own."""

from __future__ import annotations

import contextlib
from typing import Any

from ..bench import Bench
from ..processes import CallError
from ..records import Record

GROUP = "memory"

# `--quick` takes one model, unless some are asked for.
_QUICK_MODEL = "mlp"
_EPOCHS, _QUICK_EPOCHS = 5, 1


def _add(bench: Bench, case: str, name: str, found: dict[str, Any]) -> None:
    def record(phase: str, size: int) -> None:
        entry = Record(GROUP, case, phase, name, "bytes", (size,))
        bench.results.records.append(entry)

    record("peak", found["peak"])
    if found["imported"]:
        record("above import", max(0, found["peak"] - found["imported"]))
    for phase, size in (found["planned"] or {}).items():
        record(phase, size)


def run(bench: Bench) -> None:
    """All chosen models on all peers."""
    quick = bench.options.quick
    for model in bench.chosen_models():
        if quick and not bench.options.models and model.name != _QUICK_MODEL:
            continue
        bench.say(f"memory: {model.name}")
        peers = [p for p in bench.peers.values() if p.keras_api or model.build_torch is not None]
        with contextlib.ExitStack() as stack:
            # All at once: sizes don't mind the company.
            processes = {p.name: stack.enter_context(bench.process(p)) for p in peers}
            for process in processes.values():
                process.send(
                    "groups.memory_calls:fit",
                    model=model.name,
                    epochs=_QUICK_EPOCHS if quick else _EPOCHS,
                )
            for name, process in processes.items():
                try:
                    _add(bench, model.name, name, process.receive())
                except CallError as error:
                    bench.fail(GROUP, model.name, name, error)
