"""Exponentials: exp, expm1, tanh, sigmoid.

x = n log(2) + r with an integer n and |r| <= log(2) / 2, so that exp(x) = 2^n exp(r), and exp(r) is
a polynomial. The polynomials are minimax fits made for this module, from the highest power down.
"""

from __future__ import annotations

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.math_parts import (
    at_least,
    at_most,
    form,
    magnitude,
    nearest,
    polynomial,
    power_of_two,
    times_power,
    with_sign,
)
from kbackend_numba.codegen.value import Value

# (exp(r) - 1 - r) / r^2; errors relative to exp(r) - 1 are 1.4e-8 and 2.8e-19.
_EXP = {
    "float32": (
        0.0013882459225588869, 0.0083668465727095385, 0.04166721038055364, 0.16666541194905854,
        0.4999999809915881,
    ),
    "float64": (
        2.0875316013264058e-09, 2.5109537578485078e-08, 2.7557404289308419e-07,
        2.7557242897002964e-06, 2.4801587168699193e-05, 0.00019841269887295161,
        0.00138888888889653, 0.0083333333333212283, 0.041666666666666498, 0.16666666666666677, 0.5,
    ),
}  # fmt: skip
# Below the first exp is 0, above the second it is infinite.
_RANGE = {"float32": (-104.5, 89.0), "float64": (-746.0, 710.0)}
# exp(-x) is less than half of the last bit of 1 from here on.
_NOTHING = {"float32": 18.5, "float64": 38.5}


def _reduced(code: Code, x: Value) -> tuple[Value, Value, Value]:
    """r, and n as `nearest` returns it."""
    of = form(x)
    n, low = nearest(code, x, of.log2e)
    r = code.fma(n, -of.ln2_rest, code.fma(n, -of.ln2, x))
    return r, n, low


def _exp_within(code: Code, x: Value) -> Value:
    """exp(x) of an x that is not far beyond where it is 0 or infinite."""
    r, n, low = _reduced(code, x)
    return times_power(code, polynomial(code, r, (*_EXP[x.type.dtype], 1.0, 1.0)), n, low)


def exp(code: Code, x: Value) -> Value:
    """e to the power x."""
    low, high = _RANGE[x.type.dtype]
    return _exp_within(code, at_most(code, at_least(code, x, low), high))


def exp_of_negative(code: Code, x: Value) -> Value:
    """e to the power x, for x <= 0."""
    return _exp_within(code, at_least(code, x, _RANGE[x.type.dtype][0]))


def _expm1_parts(code: Code, x: Value) -> tuple[Value, Value]:
    """exp(r) - 1, and n's low bits."""
    r, _, low = _reduced(code, x)
    return code.fma(r * r, polynomial(code, r, _EXP[x.type.dtype]), r), low


def expm1(code: Code, x: Value) -> Value:
    """exp(x) - 1, exact near 0."""
    dtype = x.type.dtype
    within = at_most(code, at_least(code, x, -_NOTHING[dtype]), _RANGE[dtype][1])
    p, low = _expm1_parts(code, within)
    # By halves, since 2^n may be too large where exp(x) is not.
    half = power_of_two(code, low - 1, dtype)
    return with_sign(code, 2.0 * code.fma(half, p, half - 0.5), x)


def expm1_within(code: Code, x: Value) -> Value:
    """exp(x) - 1 of an x so near to 0 that exp(x) - 1 is neither -1 nor large; 0 for -0."""
    p, low = _expm1_parts(code, x)
    scale = power_of_two(code, low, x.type.dtype)
    return code.fma(scale, p, scale - 1.0)


def tanh(code: Code, x: Value) -> Value:
    """Hyperbolic tangent."""
    twice = at_most(code, 2.0 * magnitude(code, x), _NOTHING[x.type.dtype])
    t = expm1_within(code, twice)
    return with_sign(code, t / (t + 2.0), x)


def sigmoid(code: Code, x: Value) -> Value:
    """1 / (1 + exp(-x)), where the result is tiny, too."""
    e = exp_of_negative(code, -magnitude(code, x))
    return code.select(x < 0.0, e, 1.0) / (e + 1.0)
