"""Matrix products and attention alone: the engines beside PyTorch."""

from __future__ import annotations

from ..bench import Bench
from .alone_runs import side_by_side
from .product_cases import CASES

GROUP = "products"

PEERS = ("kbackend-numba", "kbackend-numpy", "torch")


def run(bench: Bench) -> None:
    """All cases, forward and their gradients."""
    ways = [(peer, "") for peer in PEERS if peer in bench.peers]
    for case in CASES:
        if bench.options.quick and not case.quick:
            continue
        bench.say(f"products: {case.name}")
        for operation in case.operations:
            side_by_side(
                bench, GROUP, case.name, operation, ways, "groups.product_calls",
                case.flops(operation),
            )  # fmt: skip
