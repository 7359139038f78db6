"""Models of other kinds than those of the macro group, each to find where an engine falls off.

They are measured and checked like those.
"""

from __future__ import annotations

from ..bench import Bench
from ..models.cliffs import cliff_models
from .macro import measure

GROUP = "cliffs"

# `--quick` takes these, unless some are asked for.
_QUICK_MODELS = ("gru", "mobile")


def run(bench: Bench) -> None:
    """All chosen models on all peers."""
    few = bench.options.quick and not bench.options.models
    for model in bench.chosen_models(cliff_models()):
        if few and model.name not in _QUICK_MODELS:
            continue
        bench.say(f"cliffs: {model.name}")
        measure(bench, GROUP, model)
