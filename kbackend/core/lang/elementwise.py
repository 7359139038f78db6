"""Elementwise primitives and their binders, which also take a Python scalar beside a tensor."""

from __future__ import annotations

from typing import Any

from kbackend.core.bind import bind
from kbackend.core.lang.constants import SCALAR_TYPES, lift
from kbackend.core.primitive import Primitive

# ----- elementwise, one argument -----


def _unary(name: str) -> Primitive:
    return Primitive(name, "elementwise")


neg_p, abs_p, sign_p = _unary("neg"), _unary("abs"), _unary("sign")
exp_p, expm1_p, log_p, log1p_p = _unary("exp"), _unary("expm1"), _unary("log"), _unary("log1p")
sqrt_p, rsqrt_p = _unary("sqrt"), _unary("rsqrt")
sin_p, cos_p, tanh_p, sigmoid_p = _unary("sin"), _unary("cos"), _unary("tanh"), _unary("sigmoid")
erf_p, erfinv_p = _unary("erf"), _unary("erfinv")
floor_p, ceil_p, round_p = _unary("floor"), _unary("ceil"), _unary("round")
isfinite_p = _unary("isfinite")
real_p, imag_p = _unary("real"), _unary("imag")
cast_p, bitcast_p = _unary("cast"), _unary("bitcast")


def neg(x: Any) -> Any:
    """-x"""
    return bind(neg_p, x)


def abs_(x: Any) -> Any:
    """|x|; a float for a complex x."""
    return bind(abs_p, x)


def sign(x: Any) -> Any:
    """-1, 0 or 1; NaN stays NaN."""
    return bind(sign_p, x)


def exp(x: Any) -> Any:
    """e to the power x, for floats."""
    return bind(exp_p, x)


def expm1(x: Any) -> Any:
    """exp(x) - 1, exact near 0."""
    return bind(expm1_p, x)


def log(x: Any) -> Any:
    """Natural logarithm."""
    return bind(log_p, x)


def log1p(x: Any) -> Any:
    """log(1 + x), exact near 0."""
    return bind(log1p_p, x)


def sqrt(x: Any) -> Any:
    """Square root."""
    return bind(sqrt_p, x)


def rsqrt(x: Any) -> Any:
    """1 / sqrt(x)"""
    return bind(rsqrt_p, x)


def sin(x: Any) -> Any:
    """Sine of radians."""
    return bind(sin_p, x)


def cos(x: Any) -> Any:
    """Cosine of radians."""
    return bind(cos_p, x)


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return bind(tanh_p, x)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), without overflow."""
    return bind(sigmoid_p, x)


def erf(x: Any) -> Any:
    """Error function."""
    return bind(erf_p, x)


def erfinv(x: Any) -> Any:
    """Inverse of the error function."""
    return bind(erfinv_p, x)


def floor(x: Any) -> Any:
    """Greatest integer not above x, in x's float dtype."""
    return bind(floor_p, x)


def ceil(x: Any) -> Any:
    """Least integer not below x, in x's float dtype."""
    return bind(ceil_p, x)


def round_(x: Any) -> Any:
    """Nearest integer, halves to even, in x's float dtype."""
    return bind(round_p, x)


def isfinite(x: Any) -> Any:
    """bool: neither infinite nor NaN."""
    return bind(isfinite_p, x)


def real(x: Any) -> Any:
    """Real part of a complex tensor."""
    return bind(real_p, x)


def imag(x: Any) -> Any:
    """Imaginary part of a complex tensor."""
    return bind(imag_p, x)


def cast(x: Any, dtype: str) -> Any:
    """x in another dtype (itself if it has that dtype). Floats go to integers by truncation."""
    return x if x.dtype == dtype else bind(cast_p, x, dtype=dtype)


def bitcast(x: Any, dtype: str) -> Any:
    """The same bits read as another dtype of the same width."""
    return bind(bitcast_p, x, dtype=dtype)


# ----- elementwise, two and three arguments: broadcasting, one dtype -----


add_p, sub_p, mul_p, div_p = _unary("add"), _unary("sub"), _unary("mul"), _unary("div")
pow_p, atan2_p, mod_p, floor_divide_p = (
    _unary("pow"),
    _unary("atan2"),
    _unary("mod"),
    _unary("floor_divide"),
)
maximum_p, minimum_p = _unary("maximum"), _unary("minimum")
bitwise_and_p, bitwise_or_p, bitwise_xor_p = (_unary(f"bitwise_{n}") for n in ("and", "or", "xor"))
shift_left_p, shift_right_p = _unary("shift_left"), _unary("shift_right")
complex_p = _unary("complex")
eq_p, ne_p, lt_p, le_p = _unary("eq"), _unary("ne"), _unary("lt"), _unary("le")
select_p = _unary("select")


def _bind2(primitive: Primitive, x: Any, y: Any) -> Any:
    if y.__class__ in SCALAR_TYPES:
        y = lift(y, x)
    elif x.__class__ in SCALAR_TYPES:
        x = lift(x, y)
    return bind(primitive, x, y)


def add(x: Any, y: Any) -> Any:
    """x + y (or, for bool)"""
    return _bind2(add_p, x, y)


def sub(x: Any, y: Any) -> Any:
    """x - y"""
    return _bind2(sub_p, x, y)


def mul(x: Any, y: Any) -> Any:
    """x * y (and, for bool)"""
    return _bind2(mul_p, x, y)


def div(x: Any, y: Any) -> Any:
    """x / y of floats"""
    return _bind2(div_p, x, y)


def pow_(x: Any, y: Any) -> Any:
    """x to the power y"""
    return _bind2(pow_p, x, y)


def atan2(x: Any, y: Any) -> Any:
    """Angle of the point (y, x), in (-pi, pi]; x is the ordinate."""
    return _bind2(atan2_p, x, y)


def mod(x: Any, y: Any) -> Any:
    """Remainder with the sign of y."""
    return _bind2(mod_p, x, y)


def floor_divide(x: Any, y: Any) -> Any:
    """Greatest integer not above x / y."""
    return _bind2(floor_divide_p, x, y)


def maximum(x: Any, y: Any) -> Any:
    """The greater; NaN if either is."""
    return _bind2(maximum_p, x, y)


def minimum(x: Any, y: Any) -> Any:
    """The lesser; NaN if either is."""
    return _bind2(minimum_p, x, y)


def bitwise_and(x: Any, y: Any) -> Any:
    """Bits set in both, for integers and bool."""
    return _bind2(bitwise_and_p, x, y)


def bitwise_or(x: Any, y: Any) -> Any:
    """Bits set in either."""
    return _bind2(bitwise_or_p, x, y)


def bitwise_xor(x: Any, y: Any) -> Any:
    """Bits set in one only."""
    return _bind2(bitwise_xor_p, x, y)


def shift_left(x: Any, y: Any) -> Any:
    """Bits moved towards the high end by y places."""
    return _bind2(shift_left_p, x, y)


def shift_right(x: Any, y: Any) -> Any:
    """Bits moved towards the low end by y places; the sign is kept."""
    return _bind2(shift_right_p, x, y)


def complex_(x: Any, y: Any) -> Any:
    """x + iy of two float32 or float64 tensors."""
    return _bind2(complex_p, x, y)


def eq(x: Any, y: Any) -> Any:
    """bool: equal"""
    return _bind2(eq_p, x, y)


def ne(x: Any, y: Any) -> Any:
    """bool: different (NaN differs from itself)"""
    return _bind2(ne_p, x, y)


def lt(x: Any, y: Any) -> Any:
    """bool: x < y"""
    return _bind2(lt_p, x, y)


def le(x: Any, y: Any) -> Any:
    """bool: x <= y"""
    return _bind2(le_p, x, y)


def select(condition: Any, x: Any, y: Any) -> Any:
    """x where the bool `condition` holds, y elsewhere; all three broadcast."""
    return bind(select_p, condition, lift(x, y), lift(y, x))
