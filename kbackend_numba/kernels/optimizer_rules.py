"""Optimizers' rules, each as it is for one vector of elements.

What an optimizer was made with (rates of decay and the like) comes with the call, so that
optimizers of a kind share one function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.updates import faded
from kbackend_numba.codegen.value import Value

# (code, a vector of each array, scalars) -> the new vectors, in the order of the outputs
_Rule = Callable[[Code, Sequence[Value], Sequence[Value]], Sequence[Value]]
# (code, the 0-d arguments, the numbers that come with the call) -> the rule's scalars
_Scalars = Callable[[Code, Sequence[Value], Sequence[Value]], Sequence[Value]]


class Update(NamedTuple):
    """How to update a parameter.

    Attributes:
        rule: for a vector of elements.
        numbers: from the composite's parameters to the numbers that come with the call.
        cost: nanoseconds for a float32 element.
        rates: how many 0-d arrays there are at the end of the arguments.
        scalars: what is computed from these and the numbers, once.
        still: whether an element is left as it is if its gradient is 0 and the scalars are finite.
    """

    rule: _Rule
    numbers: Callable[..., Sequence[float]]
    cost: float
    rates: int = 1
    scalars: _Scalars = lambda code, rates, numbers: (*rates, *numbers)
    still: bool = False


# ----- rules -----


def _weight_decay(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p,), (lr, rate) = arrays, scalars
    return [p - p * rate * lr]


def _sgd(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p, g), (lr,) = arrays, scalars
    return [p - g * lr]


def _momentum(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p, g, m), (lr, momentum) = arrays, scalars
    m = faded(code, m * momentum - g * lr)
    return [p + m, m]


def _nesterov(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p, g, m), (lr, momentum) = arrays, scalars
    step = g * lr
    m = faded(code, m * momentum - step)
    return [p + (m * momentum - step), m]


def _adam(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p, g, m, v), (alpha, share_1, share_2, epsilon) = arrays, scalars
    m = faded(code, m + (g - m) * share_1, epsilon)
    v = faded(code, v + (g * g - v) * share_2, epsilon)
    return [p - m * alpha / (code.call("sqrt", v) + epsilon), m, v]


def _amsgrad(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p, g, m, v, greatest), (alpha, share_1, share_2, epsilon) = arrays, scalars
    m = faded(code, m + (g - m) * share_1, epsilon)
    v = faded(code, v + (g * g - v) * share_2, epsilon)
    greatest = code.maximum(greatest, v)
    return [p - m * alpha / (code.call("sqrt", greatest) + epsilon), m, v, greatest]


def _rms(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p, g, v, *momentums), (lr, rho, share, momentum, epsilon) = arrays, scalars
    v = faded(code, v * rho + g * g * share, epsilon)
    step = g * lr / code.call("sqrt", v + epsilon)
    return _with_momentum(code, p, step, [v], momentums, momentum)


def _rms_centered(code: Code, arrays: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    (p, g, v, a, *momentums), (lr, rho, share, momentum, epsilon) = arrays, scalars
    v = faded(code, v * rho + g * g * share, epsilon)
    a = faded(code, a * rho + g * share, epsilon)
    step = g * lr / code.call("sqrt", v - a * a + epsilon)
    return _with_momentum(code, p, step, [v, a], momentums, momentum)


def _with_momentum(
    code: Code,
    p: Value,
    step: Value,
    state: list[Value],
    momentums: Sequence[Value],
    momentum: Value,
) -> list[Value]:
    if not momentums:
        return [p - step, *state]
    kept = faded(code, momentums[0] * momentum + step)
    return [p - kept, *state, kept]


# ----- scalars -----


def adam_scalars(code: Code, rates: Sequence[Value], numbers: Sequence[Value]) -> list[Value]:
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


# ----- the updates -----


def _betas(beta_1: float, beta_2: float, epsilon: float) -> tuple[float, ...]:
    return beta_1, beta_2, 1.0 - beta_1, 1.0 - beta_2, epsilon


def _rho(rho: float, momentum: float, epsilon: float) -> tuple[float, ...]:
    return rho, 1.0 - rho, momentum, epsilon


_AHEAD = Update(_nesterov, lambda momentum, nesterov: (momentum,), 0.25)
UPDATES: dict[str, Update] = {
    "weight_decay": Update(_weight_decay, lambda rate: (rate,), 0.15),
    "sgd_update": Update(_sgd, lambda: (), 0.15, still=True),
    "momentum_update": Update(_momentum, lambda momentum, nesterov: (momentum,), 0.25),
    "adam_update": Update(_adam, _betas, 0.5, 2, adam_scalars),
    "amsgrad_update": Update(_amsgrad, _betas, 0.6, 2, adam_scalars),
    "rmsprop_update": Update(_rms, _rho, 0.4),
    "rmsprop_centered_update": Update(_rms_centered, _rho, 0.5),
}


def update_of(name: str, params: Mapping[str, Any]) -> tuple[Update, tuple[float, ...]]:
    """The update of a composite with these parameters, and the numbers that come with the call."""
    update = _AHEAD if params.get("nesterov") else UPDATES[name]
    return update, tuple(update.numbers(**params))


# ----- what comes with the call -----


def scalars_of(
    code: Code, update: Update, dtypes: tuple[str, ...], rate: int, number: int, count: int
) -> list[Value]:
    """The scalars of a rule, as vectors.

    Args:
        code: where they are used.
        update: whose they are.
        dtypes: of the 0-d arrays; the first one's is that of all others.
        rate: position of the first of them.
        number: position of the first of the numbers among the sizes.
        count: how many numbers there are.
    """
    dtype = dtypes[0]
    lanes = code.target.lanes(4 if dtype == "float32" else 8)
    rates = [code.load(code.array(rate + i), 0, kind) for i, kind in enumerate(dtypes)]
    numbers = [number_of(code, number + i, dtype) for i in range(count)]
    return [code.splat(scalar, lanes) for scalar in update.scalars(code, rates, numbers)]


def number_of(code: Code, position: int, dtype: str) -> Value:
    """A number that comes with the call as `bits_of`."""
    bits = code.size(position)
    return (bits.cast("int32") if dtype == "float32" else bits).bits_as(dtype)


def bits_of(number: float, dtype: str) -> int:
    """A number as an integer of the same bits, as it comes with the call."""
    return int(np.asarray(number, dtype).view("int32" if dtype == "float32" else "int64"))
