"""Whole models: `fit` and `predict`, with the losses of all peers compared first."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..bench import Bench
from ..models import all_models
from ..models.base import Model

GROUP = "macro"

# Sums of up to 65,536 float32 terms differ by about 1e-6 with their order, and Adam divides the
# first gradients by their own size, so that the sign of one near 0 decides about a whole step of
# 1e-3. The losses of five steps differ by up to 2e-4 so; a wrong padding makes far more of it.
LOSS_TOLERANCE = 1e-3

# The first steps, of which the losses are compared, in a run and with `--quick`.
CHECKED_STEPS, _QUICK_CHECKED_STEPS = 5, 2
# The part of the epoch for `--quick`, and not less than this many steps.
_QUICK_SHARE, _QUICK_STEPS = 10, 2


def compare_losses(case: str, losses: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Compares each peer's losses with the median of all peers, step by step.

    Args:
        case: name of the model.
        losses: peer -> losses of the first steps.

    Returns:
        For each peer `case`, `peer`, `losses`, `difference` (the largest, relative) and `agrees`.
    """
    if not losses:
        return []
    middle = np.median(np.array(list(losses.values())), axis=0)
    checks = []
    for peer, own in losses.items():
        difference = float(np.max(np.abs(np.array(own) - middle) / np.abs(middle)))
        # NaN agrees with nothing; JSON has no number for it.
        agrees = difference <= LOSS_TOLERANCE
        checks.append(
            {
                "case": case,
                "peer": peer,
                "losses": [loss if math.isfinite(loss) else str(loss) for loss in own],
                "difference": difference if math.isfinite(difference) else str(difference),
                "agrees": agrees,
            }
        )
    return checks


def steps_of(model: Model, quick: bool) -> int:
    """Steps in one timed epoch."""
    return max(_QUICK_STEPS, model.steps // _QUICK_SHARE) if quick else model.steps


def measure(bench: Bench, group: str, model: Model) -> None:
    """`fit` and `predict` of a model on all peers, after a comparison of the losses."""
    case = model.name
    peers = [
        name
        for name, peer in bench.peers.items()
        if model.build_torch is not None or peer.keras_api
    ]
    checked = _QUICK_CHECKED_STEPS if bench.options.quick else CHECKED_STEPS
    losses = bench.call_each(
        group, case, peers, "groups.macro_calls:losses", model=case, steps=checked
    )
    bench.results.checks += compare_losses(case, losses)
    steps = steps_of(model, bench.options.quick)
    loaded = bench.call_each(
        group, case, list(losses), "groups.macro_calls:load", model=case, steps=steps
    )
    work = next((facts["work"] for facts in loaded.values() if facts["work"]), None) or {}
    for phase in ("fit", "predict"):
        extra = {
            peer: {
                "steps": steps,
                "batch": model.batch,
                "parameters": facts["parameters"],
                **work.get(phase, {}),
            }
            for peer, facts in loaded.items()
        }
        bench.interleave(
            group, case, phase, list(loaded), f"groups.macro_calls:{phase}", extra=extra
        )
    bench.call_each(group, case, list(loaded), "groups.macro_calls:drop")


def run(bench: Bench) -> None:
    """All chosen models on all peers."""
    for model in bench.chosen_models(all_models()):
        bench.say(f"macro: {model.name}")
        measure(bench, GROUP, model)
