"""What elementwise primitives and reductions are in CUDA text; see cuda/elementwise.cuh."""

from __future__ import annotations

from collections.abc import Sequence

from kbackend.engine.program import REDUCTIONS, Node
from kbackend_cupy.codegen.scalar import HALVES, TYPES, computed, itemsize, literal

_ALL = frozenset(TYPES)
_FLOATS = frozenset(("float32", "float64")) | HALVES
_INTEGERS = _ALL - _FLOATS - {"bool"}
_NUMBERS = _ALL - {"bool"}
_BITS = _INTEGERS | {"bool"}

# Primitive -> dtypes of its arguments; `select` has a condition beside them.
OPERATIONS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("copy", "cast", "add", "mul", "maximum", "minimum", "select"), _ALL),
    **dict.fromkeys(("eq", "ne", "lt", "le"), _ALL),
    **dict.fromkeys(("sub", "neg", "abs", "sign", "mod", "floor_divide"), _NUMBERS),
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor"), _BITS),
    **dict.fromkeys(("shift_left", "shift_right"), _INTEGERS),
    **dict.fromkeys(
        ("div", "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "sin", "cos", "tanh", "sigmoid",
         "erf", "erfinv", "floor", "ceil", "round", "pow", "atan2", "isfinite"),
        _FLOATS,
    ),
    "bitcast": _NUMBERS - HALVES,
}  # fmt: skip
NAMES = frozenset(OPERATIONS)


def takes(node: Node, inputs: Sequence[str]) -> bool:
    """Whether a node can be written.

    Args:
        node: elementwise, or a reduction.
        inputs: dtypes of its arguments.
    """
    output = node.spec.dtype
    if output not in TYPES:
        return False
    if node.reduces:
        return inputs[0] == output and (output != "bool" or node.name not in _SUMS)
    allowed = OPERATIONS.get(node.name)
    if allowed is None:
        return False
    rest = list(inputs)
    if node.name == "select" and rest.pop(0) != "bool":
        return False
    if not set(rest) <= allowed or len(set(rest)) != 1:
        return False
    if node.name == "bitcast":
        return output in allowed and itemsize(output) == itemsize(rest[0])
    return True


_SUMS = frozenset(("reduce_sum", "reduce_prod"))


def expression(node: Node, values: Sequence[str]) -> str:
    """An elementwise node in terms of its arguments' values; a reduction is over no axes."""
    if node.reduces:
        return values[0]
    dtype = node.spec.dtype
    template = f"<{computed(dtype)}>" if node.name in ("cast", "bitcast") else ""
    found = f"kb::{node.name}{template}({', '.join(values)})"
    return f"kb::rounded<{TYPES[dtype]}>({found})" if dtype in HALVES else found


def nothing(name: str, dtype: str) -> str:
    """What a reduction of no elements gives, in the type that it is computed in."""
    if name in _SUMS:
        return literal(name == "reduce_prod", "float32" if dtype in HALVES else dtype)
    low = name == "reduce_max"
    if dtype in _FLOATS:
        return literal(float("-inf" if low else "inf"), "float32" if dtype in HALVES else dtype)
    if dtype == "bool":
        return literal(not low, dtype)
    bits = 8 * itemsize(dtype)
    signed = dtype.startswith("int")
    least = -(1 << (bits - 1)) if signed else 0
    return literal(least if low else least + (1 << bits) - 1, dtype)


__all__ = ["NAMES", "OPERATIONS", "REDUCTIONS", "expression", "nothing", "takes"]
