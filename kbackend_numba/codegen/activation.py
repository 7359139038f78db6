"""Activations and their gradients, as formulas of values."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt

from kbackend_numba.codegen import math
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.value import Value


def _relu(code: Code, x: Value) -> Value:
    return code.maximum(x, 0.0)


def _relu_grad(code: Code, g: Value, x: Value) -> Value:
    return code.select(x > 0.0, g, code.number(0.0, g.type.dtype))


def _masked_scale(code: Code, x: Value, keep: Value, *, scale: float) -> Value:
    return code.select(keep, x * scale, code.number(0.0, x.type.dtype))


def _softplus(code: Code, x: Value) -> Value:
    e = math.exp_of_negative(code, -code.call("fabs", x))
    return code.maximum(x, 0.0) + math.log1p(code, e)


def _softplus_grad(code: Code, g: Value, x: Value) -> Value:
    return g * math.sigmoid(code, x)


def _silu(code: Code, x: Value) -> Value:
    return x * math.sigmoid(code, x)


def _silu_grad(code: Code, g: Value, result: Value, x: Value) -> Value:
    s = math.sigmoid(code, x)
    return g * (s + result * (1.0 - s))


_LINEAR, _CUBIC = sqrt(2 / pi), 0.044715 * sqrt(2 / pi)


def _gelu(code: Code, x: Value, *, approximate: bool) -> Value:
    if not approximate:
        return x / math.over_normal(code, x)
    t = math.tanh(code, x * (x * x * _CUBIC + _LINEAR))
    return x * 0.5 * (t + 1.0)


def _gelu_grad(code: Code, g: Value, result: Value, x: Value, *, approximate: bool) -> Value:
    square = x * x
    if not approximate:
        density = math.exp(code, square * -0.5) * (1 / sqrt(2 * pi))
        return g * (1.0 / math.over_normal(code, x) + x * density)
    t = math.tanh(code, x * (square * _CUBIC + _LINEAR))
    # The result is 0.5 x (1 + t), so that x (1 - t^2) / 2 is the result times (1 - t).
    slope = result * (1.0 - t) * (square * (3 * _CUBIC) + _LINEAR)
    return g * ((t + 1.0) * 0.5 + slope)


# Composite -> what writes it, and nanoseconds for a float32 element.
RULES: dict[str, tuple[Callable[..., Value], float]] = {
    "relu": (_relu, 0.02),
    "relu_grad": (_relu_grad, 0.02),
    "masked_scale": (_masked_scale, 0.02),
    "softplus": (_softplus, 0.6),
    "softplus_grad": (_softplus_grad, 0.15),
    "silu": (_silu, 0.16),
    "silu_grad": (_silu_grad, 0.18),
    "gelu": (_gelu, 0.28),
    "gelu_grad": (_gelu_grad, 0.45),
}
