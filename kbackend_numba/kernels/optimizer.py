"""Updates of optimizers: each reads a parameter, its gradient and its state once and writes what
comes back once.

In programs those of float32 and float64 become regions instead, along with what comes before and
after them (see `Engine.opens`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.value import Value
from kbackend_numba.codegen.vectors import each_vector
from kbackend_numba.kernels.copying import packed
from kbackend_numba.kernels.optimizer_rules import (
    UPDATES,
    Update,
    adam_scalars,
    bits_of,
    number_of,
    scalars_of,
    update_of,
)
from kbackend_numba.native import Call, Prepare, native

Specs = tuple[Spec, ...]

_FLOATS = frozenset(("float32", "float64"))
# Elements of an item.
_ITEM = 1024


def _prepare(name: str, inputs: Specs, outputs: Specs, **params: Any) -> Prepared | None:
    update, numbers = update_of(name, params)
    p, rates = inputs[0], inputs[-update.rates :]
    arrays = len(inputs) - update.rates
    if p.dtype not in _FLOATS or rates[0].dtype != p.dtype:
        return None
    if any(spec.dtype != p.dtype for spec in inputs[:arrays]):
        return None
    dtypes = tuple([spec.dtype for spec in rates])
    made = function(
        ("optimizer", update.rule.__name__, arrays, len(numbers), *dtypes),
        _write(update, arrays, len(numbers), dtypes),
    )
    call = Call(
        made,
        tuple(range(len(outputs) + len(inputs))),
        (p.size, *[bits_of(number, p.dtype) for number in numbers]),
        -(-p.size // _ITEM),
        _ITEM * update.cost * (1 if p.dtype == "float32" else 2),
    )
    return native([call], (), [(i, o) for o, i in enumerate(_replaced(arrays))])


def _replaced(arrays: int) -> list[int]:
    """The arrays that come back changed: all but the gradient."""
    return [i for i in range(arrays) if i != 1]


def _write(
    update: Update, arrays: int, numbers: int, dtypes: tuple[str, ...]
) -> Callable[[Code], None]:
    """Writes `(new arrays, arrays, 0-d arguments)`. Items are `_ITEM` elements."""

    def write(code: Code) -> None:
        dtype, made = dtypes[0], len(_replaced(arrays))
        lanes = code.target.lanes(4 if dtype == "float32" else 8)
        scalars = scalars_of(code, update, dtypes, made + arrays, 1, numbers)
        first = code.begin * _ITEM
        count = code.minimum(code.end * _ITEM, code.size(0)) - first
        places = [code.offset(code.array(i), first, dtype) for i in range(made + arrays)]

        def body(at: Value, mask: Value | None) -> None:
            read = [code.load(place, at, dtype, lanes, mask) for place in places[made:]]
            for value, place in zip(update.rule(code, read, scalars), places, strict=False):
                code.store(value, place, at, mask)

        each_vector(code, count, lanes, body)

    return write


def _prepare_rate(inputs: Specs, outputs: Specs, beta_1: float, beta_2: float) -> Prepared | None:
    """Adam's rate, by the very operations of its update."""
    dtypes = tuple([spec.dtype for spec in inputs])
    if dtypes[0] not in _FLOATS or dtypes[1] not in ("int32", "int64"):
        return None

    def write(code: Code) -> None:
        rates = [code.load(code.array(1 + i), 0, dtype) for i, dtype in enumerate(dtypes)]
        numbers = [number_of(code, i, dtypes[0]) for i in range(2)]
        code.store(adam_scalars(code, rates, numbers)[0], code.array(0), 0)

    made = function(("adam rate", *dtypes), write)
    return native([Call(made, (0, 1, 2), (bits_of(beta_1, dtypes[0]), bits_of(beta_2, dtypes[0])))])


# ----- where regions decline -----


def _rate(lr: Any, iterations: Any, beta_1: float, beta_2: float) -> Any:
    step = np.asarray(iterations + 1, lr.dtype)
    return np.asarray(lr * np.sqrt(1.0 - beta_2**step) / (1.0 - beta_1**step), lr.dtype)


def _moved(average: Any, x: Any, beta: float, epsilon: float) -> Any:
    return average + (x - average) * (1.0 - beta)


def _weighted(average: Any, x: Any, rho: float, epsilon: float) -> Any:
    return average * rho + x * (1.0 - rho)


def _velocity(m: Any, step: Any, momentum: float) -> Any:
    return m * momentum + step


def _adam_step(p: Any, m: Any, v: Any, rate: Any, epsilon: float) -> Any:
    return p - m * rate / (np.sqrt(v) + epsilon)


PREPARE: dict[str, Prepare] = {
    "adam_rate": _prepare_rate,
    **{name: packed(partial(_prepare, name)) for name in UPDATES},
}
COMPOSITES: dict[str, Kernel] = {
    "adam_rate": Kernel(_rate, _FLOATS),
    "moved_average": Kernel(_moved, _FLOATS),
    "weighted_average": Kernel(_weighted, _FLOATS),
    "velocity": Kernel(_velocity, _FLOATS),
    "adam_step": Kernel(_adam_step, _FLOATS),
}
