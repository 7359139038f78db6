"""An equation that changes nothing, and that no rewriting sees through.

What is computed again from values behind a barrier stays apart from what was computed from the
values themselves: so rematerialised results are not shared with the first ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kbackend.core.aval import Aval
from kbackend.core.bind import active_tapes


class Barrier:
    """The op of such an equation: its result is its argument."""

    name = "barrier"
    differentiable = True

    def infer(self, avals: Sequence[Aval], params: Mapping[str, Any]) -> tuple[Aval, ...]:
        """Avals of the results."""
        return tuple(avals)

    def apply(self, args: Sequence[Any], params: Mapping[str, Any]) -> tuple[Any, ...]:
        """The results: on symbolic values, behind a barrier again."""
        results = tuple([arg.barrier() if hasattr(arg, "barrier") else arg.alias() for arg in args])
        for tape in active_tapes():
            tape.record(self, args, results, dict(params))
        return results

    def backward(
        self,
        needs: Sequence[bool],
        g: Any,
        result: Any,
        args: Sequence[Any],
        params: dict[str, Any],
    ) -> Sequence[Any]:
        """The cotangent itself."""
        return (g,)


BARRIER = Barrier()
