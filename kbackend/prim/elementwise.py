"""Rules of the elementwise primitives."""

from __future__ import annotations

import math
from typing import Any

from kbackend.base import dtypes, shapes
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.primitive import NO_GRADIENT
from kbackend.prim.common import (
    require_bits,
    require_float,
    require_inexact,
    require_same_dtype,
    unbroadcast,
)

# ----- shape rules -----


def same(x: Aval) -> Aval:
    """Any dtype, unchanged."""
    return x


def same_number(x: Aval) -> Aval:
    """Any dtype but bool."""
    if x.dtype == "bool":
        raise TypeError("Needs a numeric dtype, not bool. Cast it first.")
    return x


def same_inexact(x: Aval) -> Aval:
    """Floating or complex."""
    require_inexact(x)
    return x


def same_float(x: Aval) -> Aval:
    """Floating."""
    require_float(x)
    return x


def magnitude(x: Aval) -> Aval:
    """Shape rule of `abs`."""
    same_number(x)
    return Aval(x.shape, _part(x.dtype)) if x.dtype in dtypes.COMPLEX_SET else x


def broadcasting(x: Aval, y: Aval) -> Aval:
    """Two arguments of one dtype."""
    return Aval(shapes.broadcast(x.shape, y.shape), require_same_dtype(x, y), x.weak and y.weak)


def broadcasting_number(x: Aval, y: Aval) -> Aval:
    """Two arguments of one dtype other than bool."""
    same_number(x)
    return broadcasting(x, y)


def broadcasting_float(x: Aval, y: Aval) -> Aval:
    """Two floats of one dtype."""
    require_float(x)
    return broadcasting(x, y)


def broadcasting_inexact(x: Aval, y: Aval) -> Aval:
    """Two floats or complex numbers of one dtype."""
    require_inexact(x)
    return broadcasting(x, y)


def broadcasting_bits(x: Aval, y: Aval) -> Aval:
    """Two integers or bools of one dtype."""
    require_bits(x)
    return broadcasting(x, y)


def shifting(x: Aval, y: Aval) -> Aval:
    """Two integers of one dtype."""
    if not dtypes.is_int(x.dtype):
        raise TypeError(f"Needs an integer dtype, not {x.dtype}.")
    return broadcasting(x, y)


def comparing(x: Aval, y: Aval) -> Aval:
    """bool from two arguments of one dtype."""
    return Aval(broadcasting(x, y).shape, "bool")


def choosing(condition: Aval, x: Aval, y: Aval) -> Aval:
    """Shape rule of `select`."""
    if condition.dtype != "bool":
        raise TypeError(f"The condition must be bool, not {condition.dtype}.")
    both = broadcasting(x, y)
    return Aval(shapes.broadcast(condition.shape, both.shape), both.dtype, both.weak)


def _part(dtype: str) -> str:
    """The float dtype of a complex number's parts."""
    return "float32" if dtype == "complex64" else "float64"


def part(x: Aval) -> Aval:
    """Shape rule of `real` and `imag`."""
    if x.dtype not in dtypes.COMPLEX_SET:
        raise TypeError(f"Needs a complex dtype, not {x.dtype}.")
    return Aval(x.shape, _part(x.dtype))


def joined(x: Aval, y: Aval) -> Aval:
    """Shape rule of `complex`."""
    if x.dtype not in ("float32", "float64"):
        raise TypeError(f"Needs float32 or float64 parts, not {x.dtype}.")
    both = broadcasting(x, y)
    return Aval(both.shape, "complex64" if x.dtype == "float32" else "complex128")


def casting(x: Aval, *, dtype: str) -> Aval:
    """Shape rule of `cast`."""
    return Aval(x.shape, dtypes.standardize_dtype(dtype))


def bitcasting(x: Aval, *, dtype: str) -> Aval:
    """Shape rule of `bitcast`."""
    if dtypes.itemsize(x.dtype) != dtypes.itemsize(dtype):
        raise TypeError(f"{x.dtype} and {dtype} have different widths.")
    return Aval(x.shape, dtype)


# ----- one argument -----


def _conj(x: Any) -> Any:
    """Complex conjugate; the identity for real numbers."""
    if x.dtype not in dtypes.COMPLEX_SET:
        return x
    return lang.complex_(lang.real(x), lang.neg(lang.imag(x)))


def abs_vjp(g: Any, ans: Any, x: Any) -> Any:
    """g times the sign of x (the unit phase of a complex x)."""
    if x.dtype not in dtypes.COMPLEX_SET:
        return lang.mul(g, lang.sign(x))
    safe = lang.select(lang.eq(ans, 0.0), 1.0, ans)
    scale = lang.div(g, safe)
    return lang.complex_(lang.mul(lang.real(x), scale), lang.mul(lang.imag(x), scale))


lang.neg_p.define(same_number, (lambda g, ans, x: lang.neg(g),))
lang.abs_p.define(magnitude, (abs_vjp,))
lang.sign_p.define(same_number, NO_GRADIENT)
lang.exp_p.define(same_inexact, (lambda g, ans, x: lang.mul(g, _conj(ans)),))
lang.expm1_p.define(same_inexact, (lambda g, ans, x: lang.mul(g, _conj(lang.add(ans, 1.0))),))
lang.log_p.define(same_inexact, (lambda g, ans, x: lang.div(g, _conj(x)),))
lang.log1p_p.define(same_inexact, (lambda g, ans, x: lang.div(g, _conj(lang.add(x, 1.0))),))
lang.sqrt_p.define(same_inexact, (lambda g, ans, x: lang.div(lang.mul(g, 0.5), _conj(ans)),))
lang.rsqrt_p.define(
    same_inexact, (lambda g, ans, x: lang.mul(g, _conj(lang.mul(lang.div(ans, x), -0.5))),)
)
lang.sin_p.define(same_inexact, (lambda g, ans, x: lang.mul(g, _conj(lang.cos(x))),))
lang.cos_p.define(same_inexact, (lambda g, ans, x: lang.mul(g, _conj(lang.neg(lang.sin(x)))),))
lang.tanh_p.define(
    same_inexact,
    (lambda g, ans, x: lang.mul(g, _conj(lang.sub(1.0, lang.mul(ans, ans)))),),
)
lang.sigmoid_p.define(
    same_float, (lambda g, ans, x: lang.mul(g, lang.mul(ans, lang.sub(1.0, ans))),)
)
lang.erf_p.define(
    same_float,
    (
        lambda g, ans, x: lang.mul(
            g, lang.mul(lang.exp(lang.neg(lang.mul(x, x))), 2.0 / math.sqrt(math.pi))
        ),
    ),
)
lang.erfinv_p.define(
    same_float,
    (
        lambda g, ans, x: lang.mul(
            g, lang.mul(lang.exp(lang.mul(ans, ans)), math.sqrt(math.pi) / 2.0)
        ),
    ),
)
lang.floor_p.define(same_float, NO_GRADIENT)
lang.ceil_p.define(same_float, NO_GRADIENT)
lang.round_p.define(same_float, NO_GRADIENT)
lang.isfinite_p.define(lambda x: Aval(same_inexact(x).shape, "bool"), NO_GRADIENT)
lang.real_p.define(part, (lambda g, ans, x: lang.complex_(g, lang.mul(g, 0.0)),))
lang.imag_p.define(part, (lambda g, ans, x: lang.complex_(lang.mul(g, 0.0), g),))


def cast_vjp(g: Any, ans: Any, x: Any, *, dtype: str) -> Any:
    """The cotangent in x's dtype; none where either side is discrete."""
    if x.dtype not in dtypes.INEXACT_SET or dtype not in dtypes.INEXACT_SET:
        return None
    return lang.cast(g, x.dtype)


lang.cast_p.define(casting, (cast_vjp,))
lang.bitcast_p.define(bitcasting, NO_GRADIENT)


# ----- two arguments -----


def pow_vjp_x(g: Any, ans: Any, x: Any, y: Any) -> Any:
    """g * y * x^(y - 1), and 0 where y is 0."""
    slope = lang.mul(y, lang.pow_(x, lang.select(lang.eq(y, 0.0), 1.0, lang.sub(y, 1.0))))
    return unbroadcast(lang.mul(g, slope), x)


def pow_vjp_y(g: Any, ans: Any, x: Any, y: Any) -> Any:
    """g * x^y * log(x), and 0 where x is 0."""
    log_x = lang.log(lang.select(lang.eq(x, 0.0), 1.0, x))
    return unbroadcast(lang.mul(g, lang.mul(ans, log_x)), y)


def _choice_vjp(which: int) -> Any:
    """Of maximum and minimum: to the chosen side, half to each where they are equal."""

    def vjp(g: Any, ans: Any, x: Any, y: Any) -> Any:
        mine, other = (x, y) if which == 0 else (y, x)
        chosen = lang.mul(g, lang.cast(lang.eq(mine, ans), g.dtype))
        return unbroadcast(lang.select(lang.eq(mine, other), lang.mul(g, 0.5), chosen), mine)

    return vjp


def div_vjp_y(g: Any, ans: Any, x: Any, y: Any) -> Any:
    """-g * x / y^2"""
    return unbroadcast(lang.neg(lang.div(lang.mul(g, _conj(ans)), _conj(y))), y)


def atan2_vjp_x(g: Any, ans: Any, x: Any, y: Any) -> Any:
    """g * y / (x^2 + y^2)"""
    norm = lang.add(lang.mul(x, x), lang.mul(y, y))
    return unbroadcast(lang.div(lang.mul(g, y), norm), x)


def atan2_vjp_y(g: Any, ans: Any, x: Any, y: Any) -> Any:
    """-g * x / (x^2 + y^2)"""
    norm = lang.add(lang.mul(x, x), lang.mul(y, y))
    return unbroadcast(lang.neg(lang.div(lang.mul(g, x), norm)), y)


lang.add_p.define(
    broadcasting,
    (lambda g, ans, x, y: unbroadcast(g, x), lambda g, ans, x, y: unbroadcast(g, y)),
)
lang.sub_p.define(
    broadcasting_number,
    (lambda g, ans, x, y: unbroadcast(g, x), lambda g, ans, x, y: unbroadcast(lang.neg(g), y)),
)
lang.mul_p.define(
    broadcasting,
    (
        lambda g, ans, x, y: unbroadcast(lang.mul(g, _conj(y)), x),
        lambda g, ans, x, y: unbroadcast(lang.mul(g, _conj(x)), y),
    ),
)
lang.div_p.define(
    broadcasting_inexact,
    (lambda g, ans, x, y: unbroadcast(lang.div(g, _conj(y)), x), div_vjp_y),
)
lang.pow_p.define(broadcasting_number, (pow_vjp_x, pow_vjp_y))
lang.atan2_p.define(broadcasting_float, (atan2_vjp_x, atan2_vjp_y))
lang.mod_p.define(
    broadcasting_number,
    (
        lambda g, ans, x, y: unbroadcast(g, x),
        lambda g, ans, x, y: unbroadcast(lang.neg(lang.mul(g, lang.floor_divide(x, y))), y),
    ),
)
lang.floor_divide_p.define(broadcasting_number, NO_GRADIENT)
lang.maximum_p.define(broadcasting, (_choice_vjp(0), _choice_vjp(1)))
lang.minimum_p.define(broadcasting, (_choice_vjp(0), _choice_vjp(1)))
lang.bitwise_and_p.define(broadcasting_bits, NO_GRADIENT)
lang.bitwise_or_p.define(broadcasting_bits, NO_GRADIENT)
lang.bitwise_xor_p.define(broadcasting_bits, NO_GRADIENT)
lang.shift_left_p.define(shifting, NO_GRADIENT)
lang.shift_right_p.define(shifting, NO_GRADIENT)
lang.complex_p.define(
    joined,
    (
        lambda g, ans, x, y: unbroadcast(lang.real(g), x),
        lambda g, ans, x, y: unbroadcast(lang.imag(g), y),
    ),
)
lang.eq_p.define(comparing, NO_GRADIENT)
lang.ne_p.define(comparing, NO_GRADIENT)
lang.lt_p.define(comparing, NO_GRADIENT)
lang.le_p.define(comparing, NO_GRADIENT)

# ----- three arguments -----

lang.select_p.define(
    choosing,
    (
        None,
        lambda g, ans, c, x, y: unbroadcast(lang.select(c, g, 0.0), x),
        lambda g, ans, c, x, y: unbroadcast(lang.select(c, 0.0, g), y),
    ),
)
