"""Elementwise operations on values: what each primitive, and each composite like one, writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kbackend_numba.codegen import activation, entropy, math, updates
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.target import host
from kbackend_numba.codegen.value import DTYPES, HALVES, Type, Value

Write = Callable[..., Value]

FLOATS = frozenset(("float32", "float64"))
INTS = DTYPES - FLOATS - {"bool"}
NUMBERS = FLOATS | INTS
BITS = INTS | {"bool"}


class Operation(NamedTuple):
    """How to write an operation.

    Attributes:
        write: called as `write(code, *values, **parameters)`.
        dtypes: those of the arguments that it takes; a mask of `masked_scale` or a condition of
            `select` is a bool beside it.
        cost: nanoseconds for a float32 element in a vector, roughly.
    """

    write: Write
    dtypes: frozenset[str]
    cost: float = 0.015


# ----- arithmetic -----


def _add(code: Code, x: Value, y: Value) -> Value:
    return x | y if x.type.dtype == "bool" else x + y


def _mul(code: Code, x: Value, y: Value) -> Value:
    return x & y if x.type.dtype == "bool" else x * y


def _abs(code: Code, x: Value) -> Value:
    if x.type.floating:
        return code.call("fabs", x)
    return code.select(x < 0, -x, x) if x.type.signed else x


def _sign(code: Code, x: Value) -> Value:
    one, zero = code.number(1, x.type.dtype), code.number(0, x.type.dtype)
    positive = code.select(x > 0, one, zero)
    if not x.type.floating:
        return (
            code.select(x < 0, code.number(-1, x.type.dtype), positive)
            if x.type.signed
            else (positive)
        )
    negative = code.select(x < 0, code.number(-1, x.type.dtype), positive)
    return code.select(x.differs(x), x, negative)


def _divisor(code: Code, x: Value, y: Value) -> tuple[Value, Value]:
    """A divisor that no division stops at, and where it stands in for another one.

    Division by 0 is to give 0. The least integer by -1 would overflow.
    """
    none = y.equals(0)
    if y.type.signed:
        least = code.number(-(1 << (y.type.bits - 1)), y.type.dtype)
        none = none | (y.equals(-1) & x.equals(least))
    return code.select(none, code.number(1, y.type.dtype), y), y.equals(0)


def _floor_divide(code: Code, x: Value, y: Value) -> Value:
    if x.type.floating:
        return math.floor_divide(code, x, y)
    safe, zero = _divisor(code, x, y)
    quotient = x // safe
    if x.type.signed:
        rest = x - quotient * safe
        low = rest.differs(0) & ((rest ^ safe) < 0)
        quotient = quotient - low.cast(x.type.dtype)
    return code.select(zero, code.number(0, x.type.dtype), quotient)


def _mod(code: Code, x: Value, y: Value) -> Value:
    if x.type.floating:
        return math.remainder(code, x, y)
    safe, zero = _divisor(code, x, y)
    rest = x - (x // safe) * safe
    if x.type.signed:
        low = rest.differs(0) & ((rest ^ safe) < 0)
        rest = code.select(low, rest + safe, rest)
    return code.select(zero, code.number(0, x.type.dtype), rest)


def _shift_left(code: Code, x: Value, y: Value) -> Value:
    inside = _inside(x, y)
    zero = code.number(0, x.type.dtype)
    return code.select(inside, x << code.select(inside, y, zero), zero)


def _shift_right(code: Code, x: Value, y: Value) -> Value:
    inside = _inside(x, y)
    most = code.number(x.type.bits - 1 if x.type.signed else 0, x.type.dtype)
    shifted = x >> code.select(inside, y, most)
    return shifted if x.type.signed else code.select(inside, shifted, most)


def _inside(x: Value, y: Value) -> Value:
    """Where a shift leaves bits."""
    inside = y < x.type.bits
    return inside & (y >= 0) if y.type.signed else inside


# ----- other dtypes -----


def _cast(code: Code, x: Value, *, dtype: str) -> Value:
    wanted = Type(dtype)
    if x.type.dtype in HALVES:
        x = x.cast("float32")
    if x.type.floating and dtype in INTS and (wanted.bits < 32 or dtype == "uint32"):
        # What is out of range keeps its low bits.
        return x.cast("int64" if dtype == "uint32" else "int32").cast(dtype)
    return x.cast(dtype)


def _bitcast(code: Code, x: Value, *, dtype: str) -> Value:
    return x if dtype == x.type.dtype else x.bits_as(dtype)


# ----- the table -----


def _intrinsic(name: str) -> Write:
    return lambda code, x: code.call(name, x)


def _select(code: Code, condition: Value, x: Value, y: Value) -> Value:
    return code.select(condition, x, y)


OPERATIONS: dict[str, Operation] = {
    "cast": Operation(_cast, DTYPES | HALVES),
    "bitcast": Operation(_bitcast, NUMBERS),
    "add": Operation(_add, DTYPES),
    "sub": Operation(lambda code, x, y: x - y, NUMBERS),
    "mul": Operation(_mul, DTYPES),
    "div": Operation(lambda code, x, y: x / y, FLOATS, 0.1),
    "neg": Operation(lambda code, x: -x, NUMBERS),
    "abs": Operation(_abs, NUMBERS),
    "sign": Operation(_sign, NUMBERS, 0.03),
    "floor_divide": Operation(_floor_divide, NUMBERS, 5.0),
    "mod": Operation(_mod, NUMBERS, 5.0),
    "maximum": Operation(lambda code, x, y: code.maximum(x, y), DTYPES, 0.03),
    "minimum": Operation(lambda code, x, y: code.minimum(x, y), DTYPES, 0.03),
    "floor": Operation(_intrinsic("floor"), FLOATS, 0.03),
    "ceil": Operation(_intrinsic("ceil"), FLOATS, 0.03),
    "round": Operation(_intrinsic("rint"), FLOATS, 0.03),
    "sqrt": Operation(_intrinsic("sqrt"), FLOATS, 0.12),
    "isfinite": Operation(lambda code, x: code.call("fabs", x) < float("inf"), FLOATS),
    "bitwise_and": Operation(lambda code, x, y: x & y, BITS),
    "bitwise_or": Operation(lambda code, x, y: x | y, BITS),
    "bitwise_xor": Operation(lambda code, x, y: x ^ y, BITS),
    "shift_left": Operation(_shift_left, INTS, 0.03),
    "shift_right": Operation(_shift_right, INTS, 0.03),
    "eq": Operation(lambda code, x, y: x.equals(y), DTYPES),
    "ne": Operation(lambda code, x, y: x.differs(y), DTYPES),
    "lt": Operation(lambda code, x, y: x < y, DTYPES),
    "le": Operation(lambda code, x, y: x <= y, DTYPES),
    "select": Operation(_select, DTYPES),
    "erfinv": Operation(math.erfinv, frozenset(("float32",)), 0.6),
    **{name: Operation(write, FLOATS, cost) for name, (write, cost) in math.FUNCTIONS.items()},
    **{name: Operation(write, FLOATS, cost) for name, (write, cost) in activation.RULES.items()},
    **{name: Operation(write, FLOATS, cost) for name, (write, cost) in entropy.RULES.items()},
    **{name: Operation(write, FLOATS, cost) for name, (write, cost) in updates.RULES.items()},
}
# Arguments that are bools whatever the dtype of the others is: operation -> position
_CONDITIONS = {"select": 0, "masked_scale": 1}


def operation(
    name: str, inputs: tuple[str, ...], output: str, params: Mapping[str, Any]
) -> Operation | None:
    """How to write an operation, or `None` if it can't be written for its dtypes.

    Args:
        name: primitive or composite.
        inputs: dtypes of its arguments.
        output: dtype of its result.
        params: its parameters.
    """
    found = OPERATIONS.get(name)
    if found is None:
        return None
    if name == "cast" and not _castable(inputs[0], output):
        return None
    if name != "cast" and output not in DTYPES:
        return None
    condition = _CONDITIONS.get(name)
    rest = [dtype for i, dtype in enumerate(inputs) if i != condition]
    if not set(rest) <= found.dtypes or len(set(rest)) != 1:
        return None
    if condition is not None and inputs[condition] != "bool":
        return None
    if name == "bitcast" and (output == "bool" or Type(output).bits != Type(inputs[0]).bits):
        return None
    return found


def _castable(given: str, wanted: str) -> bool:
    """Whether one cast is exact, or rounds but once: halves are made of float32."""
    halves = {given, wanted} & HALVES
    return all(host().casts(dtype) for dtype in halves) and not (
        wanted in HALVES and given in ("float64", "int64", "uint64", "int32", "uint32")
    )
