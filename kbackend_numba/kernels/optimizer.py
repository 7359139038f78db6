"""Optimizers' rules: each reads a parameter, its gradient and its state once and writes them once.

A rule is written as it is for one vector of elements. What an optimizer was made with (rates of
decay and the like) comes with the call, so that optimizers of a kind share one function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kbackend.engine.program import Prepared, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.value import Value
from kbackend_numba.codegen.vectors import each_vector
from kbackend_numba.kernels.copying import packed
from kbackend_numba.native import Call, Prepare, native

# Elements of an item.
_ITEM = 1024

# (code, a vector of each array, scalars) -> the new vectors, in the order of the outputs
_Rule = Callable[[Code, Sequence[Value], Sequence[Value]], Sequence[Value]]
# (code, the 0-d arguments, the numbers that come with the call) -> the rule's scalars
_Scalars = Callable[[Code, Sequence[Value], Sequence[Value]], Sequence[Value]]


class _Update(NamedTuple):
    """How to update a parameter.

    Attributes:
        rule: for a vector of elements.
        numbers: from the composite's parameters to the numbers that come with the call.
        cost: nanoseconds for a float32 element.
        rates: how many 0-d arrays there are at the end of the arguments.
        scalars: what is computed from these and the numbers, once.
    """

    rule: _Rule
    numbers: Callable[..., Sequence[float]]
    cost: float
    rates: int = 1
    scalars: _Scalars = lambda code, rates, numbers: (*rates, *numbers)


# ----- rules -----


def _weight_decay(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p,), (lr, rate) = arrays, scalars
    return [p - p * rate * lr]


def _sgd(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p, g), (lr,) = arrays, scalars
    return [p - g * lr]


def _momentum(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p, g, m), (lr, momentum) = arrays, scalars
    m = m * momentum - g * lr
    return [p + m, m]


def _nesterov(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p, g, m), (lr, momentum) = arrays, scalars
    step = g * lr
    m = m * momentum - step
    return [p + (m * momentum - step), m]


def _adam(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p, g, m, v), (alpha, share_1, share_2, epsilon) = arrays, scalars
    m = m + (g - m) * share_1
    v = v + (g * g - v) * share_2
    return [p - m * alpha / (code.call("sqrt", v) + epsilon), m, v]


def _amsgrad(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p, g, m, v, greatest), (alpha, share_1, share_2, epsilon) = arrays, scalars
    m = m + (g - m) * share_1
    v = v + (g * g - v) * share_2
    greatest = code.maximum(greatest, v)
    return [p - m * alpha / (code.call("sqrt", greatest) + epsilon), m, v, greatest]


def _rms(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p, g, v, *momentums), (lr, rho, share, momentum, epsilon) = arrays, scalars
    v = v * rho + g * g * share
    step = g * lr / code.call("sqrt", v + epsilon)
    return _with_momentum(p, step, [v], momentums, momentum)


def _rms_centered(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p, g, v, a, *momentums), (lr, rho, share, momentum, epsilon) = arrays, scalars
    v = v * rho + g * g * share
    a = a * rho + g * share
    step = g * lr / code.call("sqrt", v - a * a + epsilon)
    return _with_momentum(p, step, [v, a], momentums, momentum)


def _with_momentum(
    p: Value, step: Value, state: list[Value], momentums: Sequence[Value], momentum: Value
) -> list[Value]:
    if not momentums:
        return [p - step, *state]
    kept = momentums[0] * momentum + step
    return [p - kept, *state, kept]


# ----- scalars -----


def _adam_scalars(code: Code, rates: Sequence[Value], numbers: Sequence[Value]) -> list[Value]:
    """The learning rate with the corrections for both averages' start at 0, and the rest."""
    lr, iterations = rates
    beta_1, beta_2, *rest = numbers
    step = iterations.cast("int64") + 1
    widened = lr * code.call("sqrt", 1.0 - _power(code, beta_2, step))
    return [widened / (1.0 - _power(code, beta_1, step)), *rest]


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


# ----- kernels -----


def _prepare(update: _Update) -> Prepare:
    def prepare(
        inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], **params: Any
    ) -> Prepared | None:
        p, rates = inputs[0], inputs[-update.rates :]
        arrays = len(inputs) - update.rates
        if p.dtype not in ("float32", "float64") or rates[0].dtype != p.dtype:
            return None
        if any(spec.dtype != p.dtype for spec in inputs[:arrays]):
            return None
        numbers = update.numbers(**params)
        counter = rates[-1].dtype
        made = function(
            ("optimizer", update.rule.__name__, arrays, len(numbers), p.dtype, counter),
            _write(update, arrays, len(numbers), p.dtype, counter),
        )
        cost = _ITEM * update.cost * (1 if p.dtype == "float32" else 2)
        call = Call(
            made,
            tuple(range(len(outputs) + len(inputs))),
            (p.size, *[_bits(number, p.dtype) for number in numbers]),
            -(-p.size // _ITEM),
            cost,
        )
        # Everything comes back changed but the gradient.
        return native([call], (), [(i, o) for o, i in enumerate(_replaced(arrays))])

    return packed(prepare)


def _replaced(arrays: int) -> list[int]:
    """The arrays that come back changed: all but the gradient."""
    return [i for i in range(arrays) if i != 1]


def _write(
    update: _Update, arrays: int, numbers: int, dtype: str, counter: str
) -> Callable[[Code], None]:
    """Writes `(new arrays, arrays, 0-d arguments)`. Items are `_ITEM` elements."""

    def write(code: Code) -> None:
        lanes = code.target.lanes(4 if dtype == "float32" else 8)
        made = len(_replaced(arrays))
        rates = [
            code.load(code.array(made + arrays + i), 0, kind)
            for i, kind in enumerate([dtype, counter][: update.rates])
        ]
        given = [_number(code, 1 + i, dtype) for i in range(numbers)]
        scalars = [code.splat(s, lanes) for s in update.scalars(code, rates, given)]
        first = code.begin * _ITEM
        count = code.minimum(code.end * _ITEM, code.size(0)) - first
        places = [code.offset(code.array(i), first, dtype) for i in range(made + arrays)]

        def body(at: Value, mask: Value | None) -> None:
            read = [code.load(place, at, dtype, lanes, mask) for place in places[made:]]
            for value, place in zip(update.rule(code, read, scalars), places, strict=False):
                code.store(value, place, at, mask)

        each_vector(code, count, lanes, body)

    return write


def _number(code: Code, position: int, dtype: str) -> Value:
    """A number that comes with the call, as an integer of the same bits."""
    bits = code.size(position)
    return (bits.cast("int32") if dtype == "float32" else bits).bits_as(dtype)


def _bits(number: float, dtype: str) -> int:
    """See `_number`."""
    return int(np.asarray(number, dtype).view("int32" if dtype == "float32" else "int64"))


def _betas(beta_1: float, beta_2: float, epsilon: float) -> tuple[float, ...]:
    return beta_1, beta_2, 1.0 - beta_1, 1.0 - beta_2, epsilon


def _rho(rho: float, momentum: float, epsilon: float) -> tuple[float, ...]:
    return rho, 1.0 - rho, momentum, epsilon


_PLAIN = _prepare(_Update(_momentum, lambda momentum: (momentum,), 0.25))
_AHEAD = _prepare(_Update(_nesterov, lambda momentum: (momentum,), 0.25))


def _momentum_update(
    inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], momentum: float, nesterov: bool
) -> Prepared | None:
    return (_AHEAD if nesterov else _PLAIN)(inputs, outputs, momentum=momentum)


PREPARE: dict[str, Prepare] = {
    "weight_decay": _prepare(_Update(_weight_decay, lambda rate: (rate,), 0.15)),
    "sgd_update": _prepare(_Update(_sgd, lambda: (), 0.15)),
    "momentum_update": _momentum_update,
    "adam_update": _prepare(_Update(_adam, _betas, 0.5, 2, _adam_scalars)),
    "amsgrad_update": _prepare(_Update(_amsgrad, _betas, 0.6, 2, _adam_scalars)),
    "rmsprop_update": _prepare(_Update(_rms, _rho, 0.4)),
    "rmsprop_centered_update": _prepare(_Update(_rms_centered, _rho, 0.5)),
}
