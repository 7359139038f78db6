"""What is measured: each group has a file with `run(bench)`, which adds records to the results.

Files whose names end in `_calls` hold what runs in the peers' processes.
"""

from __future__ import annotations

from collections.abc import Callable

from ..bench import Bench
from . import cliffs, convolutions, layers, limits, macro, memory, micro, products, startup

GROUPS: dict[str, Callable[[Bench], None]] = {
    "macro": macro.run,
    "cliffs": cliffs.run,
    "layers": layers.run,
    "convolutions": convolutions.run,
    "products": products.run,
    "micro": micro.run,
    "startup": startup.run,
    "memory": memory.run,
    "limits": limits.run,
}
