"""`uniform`, `normal` and `truncated_normal`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.base.shapes import standardize_shape
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.random.arguments import affine, float_dtype, parameter
from kbackend.random.forms import SQRT2, standard_normal, state_of, symmetric, unit, wide

# Truncation in deviations, and the probability that lies within it.
_CUT = 2.0
_WITHIN = math.erf(_CUT / SQRT2)


def _before(high: float, low: float, dtype: str) -> Any:
    """The number next to `high`, towards `low`."""
    numpy = numpy_dtype(dtype)
    return np.nextafter(np.array(high, numpy), np.array(low, numpy))


@op(static=("shape",), tensors=("minval", "maxval"))
def uniform(
    shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Uniform random numbers in `[minval, maxval)`.

    Args:
        shape: shape of the result.
        minval: lower bound, a number or a tensor that broadcasts to `shape`; included.
        maxval: upper bound, likewise; excluded.
        dtype: float dtype, `floatx` by default.
        seed: integer, SeedGenerator, or `None` (the global generator).

    Returns:
        The tensor. Gradients flow to the bounds.

    Raises:
        ValueError: the dtype is not a float, or a bound does not fit the shape.

    Example:
        >>> from kbackend import random
        >>> random.uniform((2, 3), seed=1).shape
        (2, 3)
    """
    dtype, shape = float_dtype("uniform", dtype), standardize_shape(shape)
    drawn = unit(state_of(seed), shape, dtype)
    low, high = parameter(minval, dtype, shape), parameter(maxval, dtype, shape)
    # Rounding may reach the upper bound, which does not belong to the interval.
    if isinstance(minval, (int, float)) and isinstance(maxval, (int, float)):
        if minval == 0 and maxval == 1:
            return drawn
        x = lang.add(lang.mul(drawn, maxval - minval), low)
        return lang.minimum(x, to_tensor(_before(maxval, minval, dtype)))
    x = lang.add(lang.mul(drawn, lang.sub(high, low)), low)
    return lang.select(lang.lt(x, high), x, lang.broadcast_to(low, shape))


@op(static=("shape",), tensors=("mean", "stddev"))
def normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Normally distributed random numbers.

    Args:
        shape: shape of the result.
        mean: mean, a number or a tensor that broadcasts to `shape`.
        stddev: standard deviation, likewise.
        dtype: float dtype, `floatx` by default.
        seed: integer, SeedGenerator, or `None` (the global generator).

    Returns:
        The tensor. Gradients flow to `mean` and `stddev`.

    Raises:
        ValueError: the dtype is not a float, or a parameter does not fit the shape.

    Example:
        >>> from kbackend import random
        >>> same = random.normal((3,), seed=1) == random.normal((3,), seed=1)
        >>> same.tolist()
        [True, True, True]
    """
    dtype, shape = float_dtype("normal", dtype), standardize_shape(shape)
    return affine(standard_normal(state_of(seed), shape, dtype), stddev, mean, shape)


@op(static=("shape",), tensors=("mean", "stddev"))
def truncated_normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Normally distributed random numbers within two standard deviations of the mean.

    Args:
        shape: shape of the result.
        mean: mean, a number or a tensor that broadcasts to `shape`.
        stddev: standard deviation before truncation, likewise.
        dtype: float dtype, `floatx` by default.
        seed: integer, SeedGenerator, or `None` (the global generator).

    Returns:
        The tensor. Gradients flow to `mean` and `stddev`.

    Raises:
        ValueError: the dtype is not a float, or a parameter does not fit the shape.

    Example:
        >>> from kbackend import ops, random
        >>> x = random.truncated_normal((1000,), mean=5.0, stddev=0.5, seed=1)
        >>> bool(((x >= 4.0) & (x <= 6.0)).numpy().all())
        True
    """
    dtype, shape = float_dtype("truncated_normal", dtype), standardize_shape(shape)
    within = lang.mul(symmetric(state_of(seed), shape, wide(dtype)), _WITHIN)
    z = lang.mul(lang.erfinv(within), SQRT2)
    # erfinv is not exact to the last bit.
    z = lang.maximum(lang.minimum(z, _CUT), -_CUT)
    return affine(lang.cast(z, dtype), stddev, mean, shape)
