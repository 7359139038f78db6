"""Loops with a known number of steps, on the device from end to end, so that a stream records them.

Rows of the xs are views, ys are written straight into the rows of their stacks, and carries go to
and fro between two places, of which the last step's is the result. A carry that is a y as well is
read from the row of its stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kbackend.engine.program import Prepared, Program, Spec

Run = Callable[..., None]


@dataclass(frozen=True)
class PreparedScan(Prepared):
    """A loop.

    Attributes:
        bind: makes `run` for one replay, from what makes a program ready to run.
    """

    bind: Callable[[Callable[[Program], Any]], Run] = lambda ready: unbound


def unbound(*arrays: Any) -> None:
    """What stands for `run` before `bind` has made it."""
    raise RuntimeError("A step with programs inside must be bound before it is run.")


def prepare(
    cp: Any, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], params: Mapping[str, Any]
) -> PreparedScan | None:
    """A scan for given shapes, or `None` if a step inside has no kernel to record."""
    body: Program = params["body"]
    length, carries, constants = params["length"], params["carries"], params["constants"]
    if not length or any(step.prepared is None for step in body.steps):
        return None
    count, rows = len(outputs), constants + carries
    # Programs take contiguous arrays: what lies apart is copied to where it lies together, once.
    apart = [i for i, spec in enumerate(inputs) if not spec.contiguous]
    plain = [Spec(spec.shape, spec.dtype) for spec in inputs]
    # The other place of each carry, and what is copied.
    scratch = (*outputs[:carries], *[plain[i] for i in apart])
    order = range(length - 1, -1, -1) if params["reverse"] else range(length)
    ys = body.outputs[carries:]
    stacked = {c: ys.index(v) for c, v in enumerate(body.outputs[:carries]) if v in ys}

    def bind(ready: Callable[[Program], Any]) -> Run:
        inner = ready(body)

        def run(*arrays: Any) -> None:
            given = list(arrays[count : count + len(inputs)])
            others = arrays[count + len(inputs) :]
            for i, copy in zip(apart, others[carries:], strict=True):
                cp.copyto(copy, given[i])
                given[i] = copy
            places = arrays[:carries], others[:carries]
            stacks, fixed, xs = arrays[carries:count], given[:constants], given[rows:]
            now: Sequence[Any] = given[constants:rows]
            # So that the last step writes into the results themselves.
            side = (length - 1) % 2
            for t in order:
                row = [*fixed, *now, *[x[t, ...] for x in xs]]
                rows_of_ys = [stack[t, ...] for stack in stacks]
                now = list(places[side])
                for carry, y in stacked.items():
                    now[carry] = rows_of_ys[y]
                side = 1 - side
                inner.fill(row, (*now, *rows_of_ys))
            for carry in stacked:
                cp.copyto(arrays[carry], now[carry])

        return run

    return PreparedScan(unbound, scratch, bind=bind)
