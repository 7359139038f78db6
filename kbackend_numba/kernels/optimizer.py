"""What the updates of optimizers are made of.

In programs an update is a region, along with all that comes before and after it (`Engine.opens`).
What regions have for the rules is in `kbackend_numba.codegen.updates`; here are a rate that depends
on the step, which is computed once for all parameters, and kernels for where regions decline.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.base.dtypes import DTYPE_NAMES
from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.value import HALVES, Value
from kbackend_numba.native import Call, Prepare, native

Specs = tuple[Spec, ...]

_FLOATS = frozenset(("float32", "float64"))


# ----- Adam's rate -----


def _prepare_rate(inputs: Specs, outputs: Specs, beta_1: float, beta_2: float) -> Prepared | None:
    """The learning rate with the corrections for both averages' start at 0."""
    dtypes = tuple([spec.dtype for spec in inputs])
    if dtypes[0] not in _FLOATS or dtypes[1] not in ("int32", "int64"):
        return None

    def write(code: Code) -> None:
        lr, iterations = [code.load(code.array(1 + i), 0, dtype) for i, dtype in enumerate(dtypes)]
        first, second = [_number_of(code, i, dtypes[0]) for i in range(2)]
        step = iterations.cast("int64") + 1
        widened = lr * code.call("sqrt", 1.0 - _power(code, second, step))
        code.store(widened / (1.0 - _power(code, first, step)), code.array(0), 0)

    made = function(("adam rate", *dtypes), write)
    sizes = [_bits_of(beta, dtypes[0]) for beta in (beta_1, beta_2)]
    return native([Call(made, (0, 1, 2), tuple(sizes))])


def _power(code: Code, base: Value, exponent: Value) -> Value:
    """A number below 1 to the power of a positive integer, by squares in float64."""
    square, left = code.var(base.cast("float64")), code.var(exponent)
    product = code.var(code.number(1.0, "float64"))
    # Powers beyond these bits are 0.
    with code.loop(0, 40):
        odd = (left.value & 1).equals(1)
        product.set(code.select(odd, product.value * square.value, product.value))
        square.set(square.value * square.value)
        left.set(left.value >> 1)
    return product.value.cast(base.type.dtype)


def _number_of(code: Code, position: int, dtype: str) -> Value:
    """A number that comes with the call as `_bits_of`, so that optimizers share the function."""
    bits = code.size(position)
    return (bits.cast("int32") if dtype == "float32" else bits).bits_as(dtype)


def _bits_of(number: float, dtype: str) -> int:
    """A number as an integer of the same bits."""
    return int(np.asarray(number, dtype).view("int32" if dtype == "float32" else "int64"))


# ----- where regions decline -----


def _rate(lr: Any, iterations: Any, beta_1: float, beta_2: float) -> Any:
    # In half precision neither long training's steps nor 1 - beta are numbers.
    kind = np.float32 if DTYPE_NAMES[lr.dtype] in HALVES else lr.dtype
    step, wide = np.asarray(iterations + 1, kind), lr.astype(kind)
    return np.asarray(wide * np.sqrt(1.0 - beta_2**step) / (1.0 - beta_1**step), lr.dtype)


def _moved(average: Any, x: Any, beta: float, epsilon: float) -> Any:
    return np.asarray(average + (x - average) * (1.0 - beta), average.dtype)


def _weighted(average: Any, x: Any, rho: float, epsilon: float) -> Any:
    return np.asarray(average * rho + x * (1.0 - rho), average.dtype)


def _velocity(m: Any, step: Any, momentum: float) -> Any:
    return np.asarray(m * momentum + step, m.dtype)


def _adam_step(p: Any, m: Any, v: Any, rate: Any, epsilon: float) -> Any:
    return np.asarray(p - m * rate / (np.sqrt(v) + epsilon), p.dtype)


def _root_step(g: Any, square: Any, lr: Any, epsilon: float) -> Any:
    return np.asarray(g * lr / np.sqrt(square + epsilon), g.dtype)


PREPARE: dict[str, Prepare] = {"adam_rate": _prepare_rate}
_KERNELS = {
    "adam_rate": _rate,
    "moved_average": _moved,
    "weighted_average": _weighted,
    "velocity": _velocity,
    "adam_step": _adam_step,
    "root_step": _root_step,
}
COMPOSITES: dict[str, Kernel] = {
    name: Kernel(fn, _FLOATS | HALVES) for name, fn in _KERNELS.items()
}
