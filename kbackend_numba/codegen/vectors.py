"""Going through a run of elements vector by vector."""

from __future__ import annotations

from collections.abc import Callable

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.value import Address, Value

# What to write for the elements from the given one on: for all lanes, or for those of a mask.
Body = Callable[[Value, Value | None], None]


def each_vector(code: Code, count: Value, lanes: int, body: Body, even: bool = False) -> None:
    """Writes `body` for all vectors of a run of elements, the last of which may not be full.

    Args:
        code: where to write.
        count: how many elements there are.
        lanes: how many a vector holds, a power of two.
        body: called with the number of a vector's first element, and its mask or `None`.
        even: whether it is known that all vectors are full.
    """
    whole = count if even else count & -lanes
    with code.loop(0, whole, lanes) as at:
        body(at, None)
    if not even:
        with code.when(whole < count):
            body(whole, code.first(count - whole, lanes))


def fill(code: Code, address: Address, count: Value, value: Value) -> None:
    """Writes a number to the first `count` elements of an array."""
    lanes = code.target.lanes(value.type.bits // 8)
    vector = code.splat(value, lanes)
    each_vector(code, count, lanes, lambda at, mask: code.store(vector, address, at, mask))
