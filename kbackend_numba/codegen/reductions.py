"""How reductions combine elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.value import Type, Value


class Reduction(NamedTuple):
    """A way to make one number of many.

    Attributes:
        combine: called as `combine(code, x, y)`.
        start: dtype -> what changes nothing.
    """

    combine: Callable[[Code, Value, Value], Value]
    start: Callable[[str], float]


def _added(code: Code, x: Value, y: Value) -> Value:
    return x | y if x.type.dtype == "bool" else x + y


def _multiplied(code: Code, x: Value, y: Value) -> Value:
    return x & y if x.type.dtype == "bool" else x * y


def _least(dtype: str) -> float:
    type = Type(dtype)
    if type.floating:
        return -float("inf")
    return -(1 << (type.bits - 1)) if type.signed else 0


def _greatest(dtype: str) -> float:
    type = Type(dtype)
    if type.floating:
        return float("inf")
    return 1 if dtype == "bool" else (1 << (type.bits - type.signed)) - 1


REDUCTIONS = {
    "reduce_sum": Reduction(_added, lambda dtype: 0),
    "reduce_prod": Reduction(_multiplied, lambda dtype: 1),
    "reduce_max": Reduction(lambda code, x, y: code.maximum(x, y), _least),
    "reduce_min": Reduction(lambda code, x, y: code.minimum(x, y), _greatest),
}


def start(code: Code, name: str, dtype: str, lanes: int) -> Value:
    """A vector of what changes nothing."""
    return code.number(REDUCTIONS[name].start(dtype), dtype, lanes)


def only(code: Code, name: str, value: Value, mask: Value | None) -> Value:
    """The lanes of a mask; what changes nothing in the others."""
    if mask is None:
        return value
    return code.select(mask, value, start(code, name, value.type.dtype, value.type.lanes))


def joined(code: Code, name: str, values: Sequence[Value]) -> Value:
    """Vectors combined pair by pair."""
    combine, left = REDUCTIONS[name].combine, list(values)
    while len(left) > 1:
        pairs = [combine(code, a, b) for a, b in zip(left[::2], left[1::2], strict=False)]
        left = pairs + left[len(left) & ~1 :]
    return left[0]


def across(code: Code, name: str, value: Value) -> Value:
    """The lanes of a vector combined, by halves."""
    lanes = value.type.lanes
    while lanes > 1:
        lanes //= 2
        low = code.shuffle(value, value, range(lanes))
        high = code.shuffle(value, value, range(lanes, 2 * lanes))
        value = REDUCTIONS[name].combine(code, low, high)
    return value.lane(0)
