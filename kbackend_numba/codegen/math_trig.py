"""Trigonometry: sin, cos, atan2.

The polynomials are minimax fits made for this module, from the highest power down.
"""

from __future__ import annotations

from math import pi

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.math_parts import (
    form,
    lane_by_lane,
    magnitude,
    nearest,
    polynomial,
    with_sign,
)
from kbackend_numba.codegen.value import Value

# (sin(r) - r) / r^3 and (cos(r) - 1 + r^2 / 2) / r^4 in r^2, |r| <= pi / 4; errors 4e-9, 1e-10.
_SIN = (-0.00019514630561381777, 0.008332156044480293, -0.16666654536489028)
_COS = (2.4432411264458984e-05, -0.0013887309852047144, 0.041666645554181883)
# pi / 2 in three parts.
_HALF_PI = (1.57079637050628662109375, -4.37113900018624283e-08, -1.71512478962e-15)
# Beyond this, a multiple of pi / 2 is not exact enough.
_FAR = 100_000.0
# (atan(t) - t) / t^3 in t^2, |t| <= tan(pi / 8); relative error of atan 7e-10.
_ATAN = (
    -0.060736110133504689, 0.10592078497910222, -0.1424331104321083, 0.19998460470961721,
    -0.33333315021627202,
)  # fmt: skip
_TAN_EIGHTH = 0.41421356237309503


def sin(code: Code, x: Value) -> Value:
    """Sine."""
    return _wave(code, x, 0, "sin")


def cos(code: Code, x: Value) -> Value:
    """Cosine."""
    return _wave(code, x, 1, "cos")


def _wave(code: Code, x: Value, quarter: int, name: str) -> Value:
    if x.type.dtype == "float64":
        return lane_by_lane(code, name, x)
    n, low = nearest(code, x, 2 / pi)
    r = x
    for part in _HALF_PI:
        r = code.fma(n, -part, r)
    square = r * r
    sine = code.fma(r * square, polynomial(code, square, _SIN), r)
    # -0 stays.
    sine = code.select(x.equals(0.0), x, sine)
    cosine = code.fma(square, -0.5, 1.0)
    cosine = code.fma(square * square, polynomial(code, square, _COS), cosine)
    low = low + quarter
    found = code.select((low & 1).differs(0), cosine, sine)
    # Two quarters on, the sign is the other one.
    found = (found.bits_as(form(x).bits) ^ ((low & 2) << 30)).bits_as("float32")
    result = code.var(found)
    far = magnitude(code, x) > _FAR
    with code.when(code.any(far)):
        result.set(code.select(far, lane_by_lane(code, name + "f", x), found))
    return result.value


def atan2(code: Code, y: Value, x: Value) -> Value:
    """The angle of the point (x, y)."""
    if x.type.dtype == "float64":
        return lane_by_lane(code, "atan2", y, x)
    width, height = magnitude(code, x), magnitude(code, y)
    # Their sum is to be finite.
    large = code.maximum(width, height) > 2.0**126
    width, height = [code.select(large, size * 0.25, size) for size in (width, height)]
    steep = height > width
    short, long = code.select(steep, width, height), code.select(steep, height, width)
    # An angle above pi / 8 less pi / 4.
    turned = short > long * _TAN_EIGHTH
    t = code.select(turned, short - long, short) / code.select(turned, short + long, long)
    # Both are 0, or both are infinite.
    t = code.select(short.equals(long), 0.0, t)
    square = t * t
    angle = code.fma(t * square, polynomial(code, square, _ATAN), t)
    diagonal = short.equals(long) & long.differs(0.0)
    angle = code.select(turned | diagonal, angle + pi / 4, angle)
    angle = code.select(steep, pi / 2 - angle, angle)
    # The sign of x counts for -0, too.
    behind = x.bits_as(form(x).bits) < 0
    angle = code.select(behind, pi - angle, angle)
    angle = code.select(x.differs(x), x, code.select(y.differs(y), y, angle))
    return with_sign(code, angle, y)
