"""Rounding, complex parts and replacement of special values."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes

from kbackend.base.dtypes import COMPLEX_SET, INEXACT_SET, NUMPY_DTYPES
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.numpy.common import floating, numeric


@op()
def floor(x: Any) -> Any:
    """Greatest integers not above the elements.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> floor([1.7, -1.2]).tolist()
        [1.0, -2.0]
    """
    return lang.floor(floating(x))


@op()
def ceil(x: Any) -> Any:
    """Least integers not below the elements.

    Args:
        x: tensor.

    Returns:
        Floating tensor of x's shape.

    Example:
        >>> ceil([1.2, -1.7]).tolist()
        [2.0, -1.0]
    """
    return lang.ceil(floating(x))


@op()
def trunc(x: Any) -> Any:
    """Integer parts, towards zero.

    Args:
        x: tensor.

    Returns:
        Tensor like x.

    Example:
        >>> trunc([1.7, -1.7]).tolist()
        [1.0, -1.0]
    """
    x = to_tensor(x)
    if x.dtype not in INEXACT_SET:
        return x
    return lang.select(lang.lt(x, 0.0), lang.ceil(x), lang.floor(x))


@op()
def round(x: Any, decimals: int = 0) -> Any:
    """Elements rounded to a number of decimals, halves to even.

    Args:
        x: tensor.
        decimals: digits after the point; negative ones stand before it.

    Returns:
        Tensor like x (int32 for bool).

    Example:
        >>> round([1.5, 2.5, 0.126]).tolist(), round([0.126], 2).tolist()
        ([2.0, 2.0, 0.0], [0.13])
    """
    x = numeric(x)
    if x.dtype in COMPLEX_SET:
        return lang.complex_(round(lang.real(x), decimals), round(lang.imag(x), decimals))
    if x.dtype not in INEXACT_SET:
        if decimals >= 0:
            return x
        return lang.cast(round(lang.cast(x, "float64"), decimals), x.dtype)
    if decimals == 0:
        return lang.round_(x)
    scale = 10.0 ** (decimals if decimals > 0 else -decimals)
    if decimals > 0:
        rounded = lang.div(lang.round_(lang.mul(x, scale)), scale)
    else:
        rounded = lang.mul(lang.round_(lang.div(x, scale)), scale)
    return lang.select(lang.isfinite(rounded), rounded, x)


def _conjugate(x: Any) -> Any:
    x = to_tensor(x)
    if x.dtype not in COMPLEX_SET:
        return x
    return lang.complex_(lang.real(x), lang.neg(lang.imag(x)))


@op()
def real(x: Any) -> Any:
    """Real part.

    Args:
        x: tensor.

    Returns:
        Real tensor of x's shape.

    Example:
        >>> real([1.0 + 2.0j]).tolist()
        [1.0]
    """
    x = to_tensor(x)
    return lang.real(x) if x.dtype in COMPLEX_SET else x


@op()
def imag(x: Any) -> Any:
    """Imaginary part; zeros for real numbers.

    Args:
        x: tensor.

    Returns:
        Real tensor of x's shape.

    Example:
        >>> imag([1.0 + 2.0j]).tolist()
        [2.0]
    """
    x = to_tensor(x)
    if x.dtype in COMPLEX_SET:
        return lang.imag(x)
    return lang.bitwise_and(x, False) if x.dtype == "bool" else lang.mul(x, 0)


@op()
def conj(x: Any) -> Any:
    """Complex conjugate.

    Args:
        x: tensor.

    Returns:
        Tensor like x.

    Example:
        >>> conj([1.0 + 2.0j]).tolist()
        [(1-2j)]
    """
    return _conjugate(x)


@op()
def conjugate(x: Any) -> Any:
    """The same as `conj`.

    Args:
        x: tensor.

    Returns:
        Tensor like x.

    Example:
        >>> conjugate([1.0 + 2.0j]).tolist()
        [(1-2j)]
    """
    return _conjugate(x)


@op()
def angle(x: Any) -> Any:
    """Angle of complex numbers; 0 or pi for real ones.

    Args:
        x: tensor.

    Returns:
        Floating tensor of angles in radians.

    Example:
        >>> angle([1.0j, -1.0]).tolist()
        [1.57..., 3.14...]
    """
    x = to_tensor(x)
    if x.dtype in COMPLEX_SET:
        return lang.atan2(lang.imag(x), lang.real(x))
    return lang.atan2(0.0, floating(x))


@op()
def nan_to_num(
    x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    """x with NaN and infinities replaced by numbers.

    Args:
        x: tensor.
        nan: what NaN becomes.
        posinf: what positive infinity becomes; the greatest finite number by default.
        neginf: what negative infinity becomes; the least finite number by default.

    Returns:
        Tensor like x.

    Example:
        >>> nan_to_num([1.0, float("nan"), float("inf")], posinf=9.0).tolist()
        [1.0, 0.0, 9.0]
    """
    x = to_tensor(x)
    dtype = x.dtype
    if dtype in COMPLEX_SET:
        return lang.complex_(
            nan_to_num(lang.real(x), nan, posinf, neginf),
            nan_to_num(lang.imag(x), nan, posinf, neginf),
        )
    if dtype not in INEXACT_SET:
        return x
    greatest = float(ml_dtypes.finfo(NUMPY_DTYPES[dtype]).max)
    x = lang.select(lang.ne(x, x), float(nan), x)
    x = lang.select(lang.eq(x, math.inf), float(greatest if posinf is None else posinf), x)
    return lang.select(lang.eq(x, -math.inf), float(-greatest if neginf is None else neginf), x)
