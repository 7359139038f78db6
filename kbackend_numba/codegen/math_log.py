"""Logarithms and powers: log, log1p, pow.

x = 2^e (1 + f) with 1 + f between the roots of 1/2 and 2. The polynomials are minimax fits made for
this module, from the highest power down.
"""

from __future__ import annotations

from math import inf, nan

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.math_parts import (
    at_least,
    at_most,
    form,
    lane_by_lane,
    magnitude,
    nearest,
    polynomial,
    power_of_two,
    with_sign,
)
from kbackend_numba.codegen.value import Value

# (log(1 + f) - f + f^2 / 2) / f^3, relative error of log(1 + f) 6e-9.
_LOG_SINGLE = (
    -0.076345007726879438, 0.12761578618641312, -0.13160181529159234, 0.14201757736566173,
    -0.16623357409523207, 0.2000122688873856, -0.25000821032512172, 0.33333331707589337,
)  # fmt: skip
# (log(1 + f) - 2 s) / s^3 in s^2, s = f / (2 + f), relative error 1.3e-18.
_LOG_DOUBLE = (
    0.14798589949409369, 0.15313804316408117, 0.18183573229375757, 0.22222198416452671,
    0.28571428743764798, 0.39999999999409203, 0.66666666666667351,
)  # fmt: skip
# log2(1 + f) / f, relative error 2.4e-11.
_LOG2 = (
    0.077370848618228905, -0.14283966234032255, 0.1447483804997301, -0.14315637805329931,
    0.15876980136457849, -0.18030060873439108, 0.20617535981350318, -0.24045316529925975,
    0.28853729346033391, -0.36067367483274593, 0.48089836139547404, -0.72134752086872855,
    1.4426950408687054,
)  # fmt: skip
# 2^r for |r| <= 1/2, relative error 1.9e-9.
_EXP2 = (
    0.0001534581248459594, 0.0013399931280430189, 0.0096184889553373853, 0.055503287767895294,
    0.24022646890655441, 0.69314720573735022, 1.0000000005541532,
)  # fmt: skip

# The bits of the root of 1/2, the least normal number, and a factor that makes the others normal.
_ROOT = {"float32": 0x3F3504F3, "float64": 0x3FE6A09E667F3BCD}
_LEAST = {"float32": 2.0**-126, "float64": 2.0**-1022}
_RAISED = {"float32": 25, "float64": 54}


def _split(code: Code, x: Value) -> tuple[Value, Value]:
    """The bits of e, and 1 + f, for a normal x."""
    of, dtype = form(x), x.type.dtype
    bits = x.bits_as(of.bits)
    e = (bits - _ROOT[dtype]) >> of.mantissa
    return e, (bits - (e << of.mantissa)).bits_as(dtype)


def _log_of(code: Code, e: Value, f: Value) -> Value:
    """e log(2) + log(1 + f)."""
    of = form(f)
    if f.type.dtype == "float32":
        tail = code.fma(f, polynomial(code, f, _LOG_SINGLE), -0.5) * (f * f)
        total = code.fma(e, of.ln2_rest, tail) + f
        return code.fma(e, of.ln2, total)
    s = f / (f + 2.0)
    z = s * s
    half = 0.5 * f * f
    tail = code.fma(s, code.fma(z, polynomial(code, z, _LOG_DOUBLE), half), e * of.ln2_rest)
    return code.fma(e, of.ln2, f - (half - tail))


def log(code: Code, x: Value) -> Value:
    """Natural logarithm."""
    dtype = x.type.dtype
    tiny = x < _LEAST[dtype]
    raised = code.select(tiny, x * 2.0 ** _RAISED[dtype], x)
    bits, m = _split(code, raised)
    e = bits.cast(dtype)
    e = code.select(tiny, e - float(_RAISED[dtype]), e)
    return _with_ends(code, x, _log_of(code, e, m - 1.0))


def log1p(code: Code, x: Value) -> Value:
    """log(1 + x), exact near 0."""
    of, dtype = form(x), x.type.dtype
    raised = x + 1.0
    bits, m = _split(code, raised)
    # What rounding has taken from 1 + x.
    large = x > 1.0
    lost = code.select(large, 1.0, x) - (raised - code.select(large, x, 1.0))
    # Where 2^-e would be subnormal nothing that is lost matters.
    most = of.bias - 1
    scale = ((of.bias - code.select(bits > most, most, bits)) << of.mantissa).bits_as(dtype)
    f = code.fma(lost, scale, m - 1.0)
    return with_sign(code, _with_ends(code, raised, _log_of(code, bits.cast(dtype), f)), x)


def _with_ends(code: Code, x: Value, found: Value) -> Value:
    """The logarithm of x with its limits: of 0, of infinity, of what has none."""
    ends = code.select(x.equals(0.0), -inf, code.select(x < 0.0, nan, x))
    return code.select((x > 0.0) & (x < inf), found, ends)


def power(code: Code, x: Value, y: Value) -> Value:
    """x to the power y, as C defines it."""
    if x.type.dtype == "float64":
        return lane_by_lane(code, "pow", x, y)
    size = magnitude(code, x)
    wide = size.cast("float64")
    bits, m = _split(code, wide)
    f = m - 1.0
    log2 = code.fma(f, polynomial(code, f, _LOG2), bits.cast("float64"))
    # Infinity and NaN stay.
    log2 = code.select(wide.equals(0.0), -inf, code.select(wide < inf, log2, wide))
    exponent = y.cast("float64") * log2
    # Far enough to become infinite or 0 as a float32.
    exponent = at_least(code, at_most(code, exponent, 200.0), -200.0)
    n, low = nearest(code, exponent, 1.0)
    found = polynomial(code, exponent - n, _EXP2) * power_of_two(code, low, "float64")
    found = found.cast("float32")
    # Negative numbers: the sign of odd powers, and nothing real between integers.
    whole = code.call("floor", y).equals(y)
    half = y * 0.5
    odd = whole & code.call("floor", half).differs(half)
    found = code.select(odd, with_sign(code, found, x), found)
    nothing = (x < 0.0) & ~whole & (size < inf)
    found = code.select(nothing, nan, found)
    found = code.select(x.equals(-1.0) & magnitude(code, y).equals(inf), 1.0, found)
    return code.select(x.equals(1.0) | y.equals(0.0), 1.0, found)
