"""A step whose batch is cut in parts: each thread does some of them, from the first op to the last.

Threads wait for each other once a step instead of once a kernel, and what a part needs stays in the
cache of its core. Sums over the parts are made in a fixed order, whoever was free for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kbackend.engine.interface import Engine
from kbackend.engine.program import Cut, Spec
from kbackend_numpy import threads
from kbackend_numpy.structured import PreparedControl, Run, plain, unbound

# Fewer operations are done before another thread has woken up.
_WORTH_CUTTING = 30_000_000


def count(cut: Cut) -> int:
    """In how many parts a step should cut its batch: one for each thread, or 1.

    Args:
        cut: what a part would be.
    """
    # Every thread reads the weights and sums gradients for itself: they must be small beside the
    # rest. Loops of small steps would have the threads wait for the interpreter's lock.
    worth = cut.flops >= _WORTH_CUTTING and 10 * cut.shared <= cut.moved and not cut.loops
    return threads.count() if worth else 1


def prepare(
    inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], params: Mapping[str, Any]
) -> PreparedControl:
    """The step "parts" for given shapes."""
    body, count = params["body"], params["count"]
    cuts, joins = params["cuts"], params["joins"]
    pieces = [body.specs[i] for i in body.inputs]
    results = [plain(body.specs[i]) for i in body.outputs]
    workers = min(threads.count(), count)
    # Operands whose pieces lie apart, and results that are not made where they belong.
    apart = [
        i
        for i, (spec, axis) in enumerate(zip(inputs, cuts, strict=True))
        if not spec.contiguous or axis > 0
    ]
    aside = [i for i, axis in enumerate(joins) if axis != 0]
    own = [plain(pieces[i]) for i in apart] + [results[i] for i in aside]
    summed = [i for i, axis in enumerate(joins) if axis < 0]
    totals = [results[i] for i in summed]
    first = len(outputs) + len(inputs)

    def bind(engine: Engine) -> Run:
        programs: list[Any] = [engine.compile(body) for _ in range(workers)]
        bounds = threads.ranges(count, workers)

        def run(*arrays: Any) -> None:
            outs, given = arrays[: len(outputs)], arrays[len(outputs) : first]

            def part(index: int, worker: int) -> None:
                # Everything goes by the index, so that sums don't depend on who was free.
                at = first + index * len(own)
                mine = arrays[at : at + len(own)]
                sums = [outs[i] for i in summed]
                if index:
                    at = first + workers * len(own) + (index - 1) * len(totals)
                    sums = list(arrays[at : at + len(totals)])
                start, stop = bounds[index]
                for number in range(start, stop):
                    operands = [
                        _piece(x, axis, number, count) for x, axis in zip(given, cuts, strict=True)
                    ]
                    for i, copy in zip(apart, mine, strict=False):
                        np.copyto(copy, operands[i])
                        operands[i] = copy
                    places = [
                        _piece(x, axis, number, count) for x, axis in zip(outs, joins, strict=True)
                    ]
                    targets = list(places)
                    for i, place in zip(aside, mine[len(apart) :], strict=True):
                        targets[i] = place
                    if number == start:
                        for i, place in zip(summed, sums, strict=True):
                            targets[i] = place
                    programs[index].fill(operands, targets)
                    if number > start:
                        for i, total in zip(summed, sums, strict=True):
                            np.add(total, targets[i], out=total)
                    for i in aside:
                        if joins[i] > 0:
                            np.copyto(places[i], targets[i])

            threads.split(part, len(bounds))
            for index in range(1, len(bounds)):
                at = first + workers * len(own) + (index - 1) * len(totals)
                for i, total in zip(summed, arrays[at : at + len(totals)], strict=True):
                    np.add(outs[i], total, out=outs[i])

        return run

    scratch = (*own * workers, *totals * (workers - 1))
    return PreparedControl(unbound, scratch, work=_WORTH_THE_CORES, bind=bind)


# A step is cut in parts for the sake of the threads.
_WORTH_THE_CORES = 1e9


def _piece(x: Any, axis: int, part: int, count: int) -> Any:
    if axis < 0:
        return x
    size = x.shape[axis] // count
    return x[(slice(None),) * axis + (slice(part * size, (part + 1) * size),)]
