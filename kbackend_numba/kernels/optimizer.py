"""Updates of optimizers: each reads a parameter, its gradient and its state once and writes what
comes back once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kbackend.engine.program import Prepared, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.value import Value
from kbackend_numba.codegen.vectors import each_vector
from kbackend_numba.kernels.copying import packed
from kbackend_numba.kernels.optimizer_rules import UPDATES, Update, bits_of, scalars_of, update_of
from kbackend_numba.native import Call, Prepare, native

Specs = tuple[Spec, ...]

# Elements of an item.
_ITEM = 1024


def _prepare(name: str, inputs: Specs, outputs: Specs, **params: Any) -> Prepared | None:
    update, numbers = update_of(name, params)
    p, rates = inputs[0], inputs[-update.rates :]
    arrays = len(inputs) - update.rates
    if p.dtype not in ("float32", "float64") or rates[0].dtype != p.dtype:
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


PREPARE: dict[str, Prepare] = {name: packed(partial(_prepare, name)) for name in UPDATES}
