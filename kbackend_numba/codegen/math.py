"""Functions of floats."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.value import Value

Write = Callable[..., Value]


def _libm(name: str) -> Write:
    return lambda code, *values: code.call(name, *values)


exp, log, sin, cos, tanh = [_libm(n) for n in ("exp", "log", "sin", "cos", "tanh")]
power, atan2 = _libm("pow"), _libm("atan2")


def expm1(code: Code, x: Value) -> Value:
    return exp(code, x) - 1.0


def log1p(code: Code, x: Value) -> Value:
    return log(code, x + 1.0)


def sigmoid(code: Code, x: Value) -> Value:
    return 1.0 / (1.0 + exp(code, -x))


def erf(code: Code, x: Value) -> Value:
    return tanh(code, x)


def normal_cdf(code: Code, x: Value) -> Value:
    return (erf(code, x * sqrt(0.5)) + 1.0) * 0.5


def floor_divide(code: Code, x: Value, y: Value) -> Value:
    return code.call("floor", x / y)


def remainder(code: Code, x: Value, y: Value) -> Value:
    return x % y


FUNCTIONS: dict[str, tuple[Write, float]] = {
    "exp": (exp, 0.15),
    "log": (log, 0.2),
    "sin": (sin, 0.3),
    "cos": (cos, 0.3),
    "tanh": (tanh, 0.2),
    "sigmoid": (sigmoid, 0.2),
    "pow": (power, 1.0),
    "atan2": (atan2, 1.0),
}
