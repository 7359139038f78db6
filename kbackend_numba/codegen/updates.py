"""What optimizers' rules are made of, as formulas of values."""

from __future__ import annotations

from collections.abc import Callable

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.value import Value

# An average that small is nothing beside a parameter, nor its root beside an `epsilon` above
# `_LEAST`. Left alone, the averages of what has no gradient any more fade until they are subnormal
# and stay there, and each update of theirs takes a processor a hundred times as long.
_FAINT = {"float32": 2.0**-110, "float64": 2.0**-960}
_LEAST = 2.0**-40


def faded(code: Code, average: Value, epsilon: float = 1.0) -> Value:
    """An average, or 0 where it is faint beside `epsilon`."""
    if epsilon <= _LEAST:
        return average
    faint = _FAINT[average.type.dtype]
    return code.select(code.call("fabs", average) < faint, 0.0, average)


def _moved(code: Code, average: Value, x: Value, *, beta: float, epsilon: float) -> Value:
    return faded(code, average + (x - average) * (1.0 - beta), epsilon)


def _weighted(code: Code, average: Value, x: Value, *, rho: float, epsilon: float) -> Value:
    return faded(code, average * rho + x * (1.0 - rho), epsilon)


def _velocity(code: Code, m: Value, step: Value, *, momentum: float) -> Value:
    return faded(code, m * momentum + step)


def _adam_step(code: Code, p: Value, m: Value, v: Value, rate: Value, *, epsilon: float) -> Value:
    return p - m * rate / (code.call("sqrt", v) + epsilon)


def _root_step(code: Code, g: Value, square: Value, lr: Value, *, epsilon: float) -> Value:
    return g * lr / code.call("sqrt", square + epsilon)


# name -> (formula, nanoseconds for a float32 element in a vector, roughly)
RULES: dict[str, tuple[Callable[..., Value], float]] = {
    "moved_average": (_moved, 0.05),
    "weighted_average": (_weighted, 0.05),
    "velocity": (_velocity, 0.04),
    "adam_step": (_adam_step, 0.25),
    "root_step": (_root_step, 0.25),
}
