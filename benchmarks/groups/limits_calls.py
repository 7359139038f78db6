"""A compiled training step taken apart: its operations, its bytes, and the time of each kernel."""

from __future__ import annotations

import time
from typing import Any

from ..models import every_model
from ..peers.base import Peer

_STEPS = 10


def _bytes(program: Any) -> int:
    """What the steps of a program read and write, each array once by each step."""
    from kbackend.base.dtypes import itemsize

    specs, total = program.specs, 0
    for step in program.steps:
        inner = [value for value in step.params.values() if hasattr(value, "steps")]
        if inner:
            # Parts of a batch, or steps of a loop.
            times = step.params.get("count") or step.params.get("length") or 1
            total += times * sum(_bytes(one) for one in inner)
        else:
            values = {*step.inputs, *step.outputs}
            total += sum(specs[v].size * itemsize(specs[v].dtype) for v in values)
    return total


def _kernels(runner: Any, program: Any, repeats: int) -> dict[str, float]:
    """Kind of kernel -> seconds of all its calls, each timed by itself; of compiled kernels."""
    found: dict[str, float] = {}
    if not any(hasattr(fn, "times") for fn, _ in runner.calls):
        return {}
    for (fn, args), number in zip(runner.calls, runner.step_of, strict=True):
        times = getattr(fn, "times", None)
        if times is not None:
            each = times(repeats)
        else:
            each = [(program.steps[number].name, _least(lambda: fn(*args), repeats))]  # noqa: B023
        for name, seconds in each:
            found[name] = found.get(name, 0.0) + seconds
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _least(call: Any, repeats: int) -> float:
    samples = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        samples.append(time.perf_counter() - begin)
    return min(samples)


def step(peer: Peer, model: str, repeats: int) -> dict[str, Any] | None:
    """The train step of a model: seconds a step in `fit`, and what it is made of."""
    from kbackend.ir.cost import graph_cost

    chosen = every_model()[model]
    session: Any = peer.session(chosen, dropout=True)
    x, y = chosen.data(_STEPS, 0)
    session.fit(x, y)
    samples = []
    for _ in range(repeats):
        begin = time.perf_counter()
        session.fit(x, y)
        samples.append((time.perf_counter() - begin) / _STEPS)
    executables = session.net._steps.of(session.net, "train_step").executables()
    if not executables:
        return None
    main = max(executables, key=lambda one: one.program.planned)
    runner = main._run
    return {
        "samples": samples,
        "flops": graph_cost(main.graph).flops,
        "bytes": _bytes(main.program),
        "kernels": _kernels(runner, main.program, repeats) if hasattr(runner, "calls") else {},
    }
