"""The error function, its inverse and the normal distribution.

The polynomials of `erf` are minimax fits made for this module. The inverse: M. Giles,
"Approximating the erfinv function", GPU Computing Gems, Jade edition, 2011. All coefficients are
listed from the highest power down.
"""

from __future__ import annotations

from math import inf, nan, sqrt

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.math_exp import exp, expm1_within
from kbackend_numba.codegen.math_log import log
from kbackend_numba.codegen.math_parts import (
    at_most,
    lane_by_lane,
    magnitude,
    polynomial,
    with_sign,
)
from kbackend_numba.codegen.value import Value

# -log(erfc(x)) / x up to 4, where float32 has rounded erf to 1; relative error of erf 4e-9.
_ERF = (
    -9.2562522840303694e-06, 0.00011764117011466059, -0.00063283655018620271,
    0.0016670270184022504, -0.00016039575335160579, -0.019153063989243185, 0.10277783050531211,
    0.63661938196883361, 1.1283791716112042,
)  # fmt: skip
# The normal distribution function is 1 / (1 + exp(x P(x^2))), to an error of 3e-8.
_CDF = (
    -3.512360915e-09, 2.645273937e-07, -7.929498279e-06, 1.106124441e-04, 6.518978927e-05,
    -7.266616895e-02, -1.595769883e00,
)  # fmt: skip
# erfinv(x) = x * P(w), w = -log((1 - x)(1 + x)); P in w - 2.5 below 5, in sqrt(w) - 3 above.
_INVERSE_CENTRE = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_INVERSE_TAIL = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
    -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip


def erf(code: Code, x: Value) -> Value:
    """The error function."""
    if x.type.dtype == "float64":
        return lane_by_lane(code, "erf", x)
    size = at_most(code, magnitude(code, x), 4.0)
    return with_sign(code, expm1_within(code, -size * polynomial(code, size, _ERF)), x)


def erfinv(code: Code, x: Value) -> Value:
    """The inverse of erf, in single precision."""
    w = -log(code, (1.0 - x) * (1.0 + x))
    centre = polynomial(code, w - 2.5, _INVERSE_CENTRE)
    tail = polynomial(code, code.call("sqrt", w) - 3.0, _INVERSE_TAIL)
    found = x * code.select(w < 5.0, centre, tail)
    size = magnitude(code, x)
    found = code.select(size.equals(1.0), with_sign(code, size * inf, x), found)
    return code.select(size > 1.0, nan, found)


def over_normal(code: Code, x: Value) -> Value:
    """1 over the normal distribution function."""
    if x.type.dtype == "float64":
        return 2.0 / (lane_by_lane(code, "erf", x * sqrt(0.5)) + 1.0)
    return exp(code, x * polynomial(code, x * x, _CDF)) + 1.0
