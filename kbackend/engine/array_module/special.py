"""The error function and its inverse, written once for NumPy and CuPy.

float64: W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23,
1969, and M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution",
Applied Statistics 37, 1988. float32: a polynomial under tanh, fitted for this module (relative
error 7e-8 before rounding), and M. Giles, "Approximating the erfinv function", GPU Computing Gems,
Jade edition, 2011. All coefficients are listed from the highest power down.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt
from typing import Any

from kbackend.engine.interface import Kernel

# ----- float32 -----

# erf(x) = tanh(x * P(x^2)). float32 has rounded to 1 before `_ERF_ONE`, and beyond it P is no fit.
_ERF_ONE = 4.2
_ERF_P = (
    5.422208965e-09, 2.75600952e-08, -4.794448932e-06, 8.459586748e-05,
    -0.0006148366321, -0.0001952898521, 0.1027698648, 1.128379247,
)  # fmt: skip

# erfinv(x) = x * P(w), w = -log((1 - x)(1 + x)); P in w - 2.5 below 5, in sqrt(w) - 3 above.
_INV_CENTRE = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_INV_TAIL = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
    -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip

# ----- float64 -----

# Cody: erf(x) = x * A(x^2) / B(x^2) up to 0.46875, erfc(x) = exp(-x^2) * C(x) / D(x) up to 4,
# erfc(x) = exp(-x^2) / x * (1 / sqrt(pi) - P(1 / x^2) / (x^2 Q(1 / x^2))) above.
_A = (
    1.85777706184603153e-1, 3.16112374387056560e00, 1.13864154151050156e02,
    3.77485237685302021e02, 3.20937758913846947e03,
)  # fmt: skip
_B = (
    1.0, 2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03,
    2.84423683343917062e03,
)  # fmt: skip
_C = (
    2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0,
    6.61191906371416295e01, 2.98635138197400131e02, 8.81952221241769090e02,
    1.71204761263407058e03, 2.05107837782607147e03, 1.23033935479799725e03,
)  # fmt: skip
_D = (
    1.0, 1.57449261107098347e01, 1.17693950891312499e02, 5.37181101862009858e02,
    1.62138957456669019e03, 3.29079923573345963e03, 4.36261909014324716e03,
    3.43936767414372164e03, 1.23033935480374942e03,
)  # fmt: skip
_P = (
    1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1,
    1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4,
)  # fmt: skip
_Q = (
    1.0, 2.56852019228982242e00, 1.87295284992346725e00, 5.27905102951428412e-1,
    6.05183413124413191e-2, 2.33520497626869185e-3,
)  # fmt: skip
_ERF_CENTRE, _ERF_MIDDLE, _ERF_ONE_DOUBLE = 0.46875, 4.0, 6.0

# Wichura's PPND16 for p = (1 + x) / 2.
_WA = (
    2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4,
    4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3,
    1.3314166789178437745e2, 3.3871328727963666080e0,
)  # fmt: skip
_WB = (
    5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4,
    2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2,
    4.2313330701600911252e1, 1.0,
)  # fmt: skip
_WC = (
    7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
    1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0,
    4.63033784615654529590e0, 1.42343711074968357734e0,
)  # fmt: skip
_WD = (
    1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
    1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0,
    2.05319162663775882187e0, 1.0,
)  # fmt: skip
_WE = (
    2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
    2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0,
    5.46378491116411436990e0, 6.65790464350110377720e0,
)  # fmt: skip
_WF = (
    2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
    7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
    5.99832206555887937690e-1, 1.0,
)  # fmt: skip


def _polynomial(x: Any, coefficients: Sequence[float]) -> Any:
    """Horner's rule in one buffer."""
    out = x * coefficients[0]
    for c in coefficients[1:-1]:
        out += c
        out *= x
    out += coefficients[-1]
    return out


def _ratio(x: Any, upper: Sequence[float], lower: Sequence[float]) -> Any:
    out = _polynomial(x, upper)
    out /= _polynomial(x, lower)
    return out


def erf_single(xp: Any, x: Any) -> Any:
    """erf of a float32 array."""
    x = xp.clip(x, -_ERF_ONE, _ERF_ONE)
    x *= _polynomial(x * x, _ERF_P)
    return xp.tanh(x)


def erf_double(xp: Any, x: Any) -> Any:
    """erf of a float64 vector."""
    size = xp.minimum(xp.abs(x), _ERF_ONE_DOUBLE)
    square = size * size
    complement = xp.exp(-square)
    complement *= _ratio(size, _C, _D)
    far = xp.flatnonzero(size > _ERF_MIDDLE)
    if far.size:
        z = size[far]
        w = 1.0 / square[far]
        complement[far] = xp.exp(-z * z) / z * (0.5641895835477563 - w * _ratio(w, _P, _Q))
    # Both formulas everywhere: picking elements out costs more than it saves.
    centre = _ratio(square, _A, _B)
    centre *= x
    return xp.where(size <= _ERF_CENTRE, centre, xp.copysign(1.0 - complement, x))


def erfinv_single(xp: Any, x: Any) -> Any:
    """erfinv of a float32 vector."""
    w = 1.0 - x
    w *= 1.0 + x
    w = -xp.log(w)
    out = _polynomial(w - 2.5, _INV_CENTRE)
    tail = xp.flatnonzero(w >= 5.0)
    if tail.size:
        out[tail] = _polynomial(xp.sqrt(w[tail]) - 3.0, _INV_TAIL)
    out *= x
    return _with_ends(xp, x, out)


def erfinv_double(xp: Any, x: Any) -> Any:
    """erfinv of a float64 vector."""
    q = 0.5 * x
    out = q * _ratio(0.180625 - q * q, _WA, _WB)
    tail = xp.flatnonzero(xp.abs(q) > 0.425)
    if tail.size:
        z = x[tail]
        # 1 - |x| is exact here.
        r = xp.sqrt(-xp.log(0.5 * (1.0 - xp.abs(z))))
        near = _ratio(r - 1.6, _WC, _WD)
        found = xp.where(r <= 5.0, near, _ratio(r - 5.0, _WE, _WF))
        out[tail] = xp.copysign(found, z)
    out *= 1.0 / sqrt(2.0)
    return _with_ends(xp, x, out)


def _with_ends(xp: Any, x: Any, out: Any) -> Any:
    """`out` with infinities at -1 and 1, and NaN outside."""
    size = xp.abs(x)
    outside = xp.flatnonzero(size >= 1.0)
    if outside.size:
        z = x[outside]
        out[outside] = xp.where(size[outside] > 1.0, xp.nan, xp.copysign(inf, z))
    return out


def kernels(xp: Any) -> dict[str, Kernel]:
    """The kernels of the family for the array module `xp`."""

    def apply(single: Any, double: Any, x: Any) -> Any:
        if x.dtype == xp.float64:
            return double(xp, x.reshape(-1)).reshape(x.shape)
        # Low precision floats round once, at the end.
        out = single(xp, x.astype(xp.float32).reshape(-1)).reshape(x.shape)
        return out if out.dtype == x.dtype else out.astype(x.dtype)

    def erf(x: Any) -> Any:
        return apply(erf_single, erf_double, x)

    def erfinv(x: Any) -> Any:
        return apply(erfinv_single, erfinv_double, x)

    return {"erf": Kernel(erf), "erfinv": Kernel(erfinv)}
