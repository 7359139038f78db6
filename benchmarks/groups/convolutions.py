"""Convolutions alone: methods of the Numba engine beside the NumPy engine and PyTorch."""

from __future__ import annotations

from ..bench import Bench
from .alone_runs import side_by_side
from .convolution_cases import CASES

GROUP = "convolutions"

# Methods of a peer, by the setting that chooses them.
METHODS = {"kbackend-numba": ("direct", "exact", "fast"), "kbackend-numpy": ("",), "torch": ("",)}
OPERATIONS = ("forward", "input", "filters")


def run(bench: Bench) -> None:
    """All cases in all three directions."""
    ways = [(peer, method) for peer in METHODS if peer in bench.peers for method in METHODS[peer]]
    for case in CASES:
        if bench.options.quick and not case.quick:
            continue
        bench.say(f"convolutions: {case.name}")
        for operation in OPERATIONS:
            side_by_side(
                bench, GROUP, case.name, operation, ways, "groups.convolution_calls", case.flops
            )
