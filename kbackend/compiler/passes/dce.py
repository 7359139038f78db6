"""What no output depends on is dropped: equations, and the parts of loops and branches."""

from __future__ import annotations

from kbackend.compiler.passes.inner import everywhere
from kbackend.ir.dead import live
from kbackend.ir.graph import Graph


@everywhere
def dce(graph: Graph) -> Graph:
    """The graph without equations that no output depends on."""
    return live(graph)
