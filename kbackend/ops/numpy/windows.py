"""Windows for spectral analysis, and the Bessel function that the Kaiser window is made of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kbackend.base import config
from kbackend.core import lang
from kbackend.core.composite import composite
from kbackend.core.convert import to_tensor
from kbackend.core.tensor import tensor
from kbackend.ops.define import op
from kbackend.ops.numpy.common import floating


def _length(x: Any) -> int:
    """Number of points, given as an int or a tensor with one element."""
    return int(np.asarray(to_tensor(x)).reshape(()))


def bartlett(x: Any) -> Any:
    """Bartlett window: a triangle that is 0 at both ends.

    Args:
        x: number of points.

    Returns:
        Vector of x points of dtype `floatx`.

    Example:
        >>> bartlett(5).shape
        (5,)
    """
    return tensor(np.bartlett(_length(x)), config.floatx())


def blackman(x: Any) -> Any:
    """Blackman window: a sum of three cosines that is close to 0 at both ends.

    Args:
        x: number of points.

    Returns:
        Vector of x points of dtype `floatx`.

    Example:
        >>> blackman(5).shape
        (5,)
    """
    return tensor(np.blackman(_length(x)), config.floatx())


def hamming(x: Any) -> Any:
    """Hamming window: a raised cosine that does not reach 0.

    Args:
        x: number of points.

    Returns:
        Vector of x points of dtype `floatx`.

    Example:
        >>> hamming(5).shape
        (5,)
    """
    return tensor(np.hamming(_length(x)), config.floatx())


def hanning(x: Any) -> Any:
    """Hann window: a raised cosine that is 0 at both ends.

    Args:
        x: number of points.

    Returns:
        Vector of x points of dtype `floatx`.

    Example:
        >>> hanning(5).shape
        (5,)
    """
    return tensor(np.hanning(_length(x)), config.floatx())


def kaiser(x: Any, beta: Any) -> Any:
    """Kaiser window, whose shape goes from rectangular (0) to narrow.

    Args:
        x: number of points.
        beta: shape.

    Returns:
        Vector of x points of dtype `floatx`.

    Example:
        >>> kaiser(3, 0.0).tolist()
        [1.0, 1.0, 1.0]
    """
    beta = float(np.asarray(to_tensor(beta)).reshape(()))
    return tensor(np.kaiser(_length(x), beta), config.floatx())


# ----- Bessel functions -----


def _polynomial(x: Any, coefficients: list[float]) -> Any:
    """Horner's scheme, coefficients from the lowest."""
    out = lang.add(lang.mul(x, coefficients[-1]), coefficients[-2])
    for coefficient in reversed(coefficients[:-2]):
        out = lang.add(lang.mul(out, x), coefficient)
    return out


# Power series in (x / 2)^2 up to the border, from there the expansion in 1 / x.
_BORDER = 30.0
_TERMS = 70


def _series(t: Any, order: int) -> Any:
    """Sum of t^k / (k! (k + order)!), from the inside: single terms would overflow or vanish."""
    out = lang.add(lang.mul(t, 0.0), 1.0)
    for k in range(_TERMS, 0, -1):
        out = lang.add(lang.mul(lang.mul(out, t), 1.0 / (k * (k + order))), 1.0)
    return out


def _expansion(order: int) -> list[float]:
    terms = [1.0]
    for k in range(1, 21):
        terms.append(-terms[-1] * (4 * order * order - (2 * k - 1) ** 2) / (8 * k))
    return terms


def _bessel(x: Any, order: int) -> Any:
    """Modified Bessel function of the first kind of order 0 or 1.

    Abramowitz and Stegun, "Handbook of Mathematical Functions", 9.6.10 and 9.7.1.
    """
    dtype = x.dtype
    work = "float64" if dtype == "float64" else "float32"
    size = lang.abs_(lang.cast(x, work))
    far = lang.lt(_BORDER, size)
    half = lang.mul(lang.select(far, 1.0, size), 0.5)
    near = _series(lang.mul(half, half), order)
    if order:
        near = lang.mul(near, half)
    distant = lang.select(far, size, _BORDER)
    # Half of the exponent at a time, so that it does not overflow before its time.
    root = lang.exp(lang.mul(distant, 0.5))
    scale = lang.mul(lang.mul(root, lang.rsqrt(lang.mul(distant, 2.0 * math.pi))), root)
    tail = lang.mul(scale, _polynomial(lang.div(1.0, distant), _expansion(order)))
    out = lang.select(far, tail, near)
    if order:
        out = lang.mul(out, lang.sign(lang.cast(x, work)))
    return lang.cast(out, dtype)


@composite("bessel_i0")
def _i0(x: Any) -> Any:
    return _bessel(x, 0)


@composite("bessel_i1")
def _i1(x: Any) -> Any:
    return _bessel(x, 1)


@_i0.def_vjp
def _i0_vjp(needs: Any, g: Any, result: Any, x: Any) -> Any:
    return (lang.mul(g, _i1(x)),)


@_i1.def_vjp
def _i1_vjp(needs: Any, g: Any, result: Any, x: Any) -> Any:
    zero = lang.eq(x, 0.0)
    slope = lang.sub(_i0(x), lang.div(result, lang.select(zero, 1.0, x)))
    return (lang.mul(g, lang.select(zero, 0.5, slope)),)


@op()
def i0(x: Any) -> Any:
    """Modified Bessel function of the first kind, of order 0.

    Args:
        x: tensor of real numbers.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> i0([0.0, 1.0]).tolist()
        [1.0, 1.266...]

    Reference:
        M. Abramowitz, I. A. Stegun, "Handbook of Mathematical Functions", 9.6.10 and 9.7.1.
    """
    return _i0(floating(x))
