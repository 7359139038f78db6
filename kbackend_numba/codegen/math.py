"""Functions of floats: what is exact to one or two units in the last place, on whole vectors."""

from __future__ import annotations

from collections.abc import Callable

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.math_erf import erf, erfinv, over_normal
from kbackend_numba.codegen.math_exp import exp, exp_of_negative, expm1, sigmoid, tanh
from kbackend_numba.codegen.math_log import log, log1p, power
from kbackend_numba.codegen.math_parts import with_sign
from kbackend_numba.codegen.math_trig import atan2, cos, sin
from kbackend_numba.codegen.value import Value

__all__ = [
    "FUNCTIONS", "atan2", "cos", "erf", "erfinv", "exp", "exp_of_negative", "expm1", "floor_divide",
    "log", "log1p", "over_normal", "power", "remainder", "rsqrt", "sigmoid", "sin", "tanh",
]  # fmt: skip


def rsqrt(code: Code, x: Value) -> Value:
    """1 / sqrt(x)"""
    return 1.0 / code.call("sqrt", x)


def remainder(code: Code, x: Value, y: Value) -> Value:
    """What is left of x / y rounded down; it has the sign of y."""
    rest = x % y
    low = rest.differs(0.0) & (rest < 0.0).differs(y < 0.0)
    rest = code.select(low, rest + y, rest)
    return code.select(rest.equals(0.0), with_sign(code, rest, y), rest)


def floor_divide(code: Code, x: Value, y: Value) -> Value:
    """x / y rounded down, as exact as if the quotient had not been rounded before."""
    rest = x % y
    quotient = (x - rest) / y
    low = rest.differs(0.0) & (rest < 0.0).differs(y < 0.0)
    quotient = code.select(low, quotient - 1.0, quotient)
    found = code.call("floor", quotient)
    found = code.select(quotient - found > 0.5, found + 1.0, found)
    plain = x / y
    found = code.select(quotient.equals(0.0), with_sign(code, quotient, plain), found)
    return code.select(y.equals(0.0), plain, found)


# Primitive -> what writes it, and nanoseconds for a float32 element.
FUNCTIONS: dict[str, tuple[Callable[..., Value], float]] = {
    "exp": (exp, 0.08),
    "expm1": (expm1, 0.14),
    "log": (log, 0.22),
    "log1p": (log1p, 0.32),
    "sin": (sin, 0.2),
    "cos": (cos, 0.2),
    "tanh": (tanh, 0.18),
    "sigmoid": (sigmoid, 0.14),
    "erf": (erf, 0.23),
    "pow": (power, 1.3),
    "atan2": (atan2, 0.4),
    "rsqrt": (rsqrt, 0.35),
}
