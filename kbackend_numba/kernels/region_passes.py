"""How often a row is gone through: what each pass computes, and what it keeps for later ones.

A pass ends where reductions do, because what comes behind them needs the whole row. A value that a
later pass needs is computed again if that is cheap, or else kept aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kbackend.engine.program import Ints
from kbackend_numba.kernels.region_body import Body

# Nanoseconds for an element from which on a value is not computed again: what it takes to write it
# down and read it back.
_DEAR = 0.04


class Pass(NamedTuple):
    """What one pass over a row computes.

    Attributes:
        kept: operations with one result for the row that come before it.
        reductions: those whose results are there at its end.
        outputs: whole results that it writes.
        aside: values that it writes down for later passes.
        inputs: arrays that it reads.
    """

    kept: Ints
    reductions: Ints
    outputs: Ints
    aside: Ints
    inputs: frozenset[int]


def passes(body: Body) -> list[Pass]:
    """The passes over a row."""
    count = len(body.inputs)
    levels = _levels(body)
    whole = [v for v in dict.fromkeys(body.outputs) if not body.operation(v).kept]
    numbers = range(count, count + len(body.operations))
    last = max(
        [levels[v] for v in whole]
        + [levels[body.operation(v).inputs[0]] for v in numbers if body.operation(v).reduces]
        + [levels[v] for v in numbers if _is_scalar(body, v)]
    )
    dear = _dear(body, levels, whole)
    found = []
    for level in range(last + 1):
        kept = [v for v in numbers if _is_scalar(body, v) and levels[v] == level]
        reductions = [
            v
            for v in numbers
            if body.operation(v).reduces and levels[body.operation(v).inputs[0]] == level
        ]
        outputs = [v for v in whole if levels[v] == level]
        aside = [v for v in sorted(dear) if levels[v] == level and v not in outputs]
        wanted = [*outputs, *aside, *[body.operation(v).inputs[0] for v in reductions]]
        before = {v for v in dear if levels[v] < level}
        inputs = {v for v in _cone(body, wanted, before) if v < count}
        found.append(
            Pass(tuple(kept), tuple(reductions), tuple(outputs), tuple(aside), frozenset(inputs))
        )
    return found


def _is_scalar(body: Body, value: int) -> bool:
    return body.operation(value).kept and not body.operation(value).reduces


def _levels(body: Body) -> list[int]:
    """For each value how many passes must have ended before it can be computed."""
    levels = [0] * len(body.inputs)
    for op in body.operations:
        levels.append(max([levels[i] for i in op.inputs], default=0) + op.reduces)
    return levels


def _cone(body: Body, wanted: list[int], before: set[int]) -> Iterator[int]:
    """The values that a pass computes or reads for the wanted ones."""
    seen: set[int] = set()
    stack = list(wanted)
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        yield value
        if value >= len(body.inputs) and value not in before and not body.operation(value).kept:
            stack.extend(body.operation(value).inputs)


def _dear(body: Body, levels: list[int], whole: list[int]) -> set[int]:
    """Values that later passes need and that are not to be computed again."""
    count, found = len(body.inputs), set[int]()
    costs = [0.0] * count
    readers: dict[int, set[int]] = {}
    for number, op in enumerate(body.operations, count):
        when = levels[op.inputs[0]] if op.reduces else levels[number]
        for i in op.inputs:
            readers.setdefault(i, set()).add(when)
    for number, op in enumerate(body.operations, count):
        if op.kept:
            costs.append(0.0)
            continue
        cost = op.cost + sum(costs[i] for i in op.inputs)
        if max(readers.get(number, {0})) > levels[number] and (cost > _DEAR or number in whole):
            found.add(number)
            cost = 0.0
        costs.append(cost)
    return found
