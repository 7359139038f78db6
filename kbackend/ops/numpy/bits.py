"""Operations on the bits of integers, greatest common divisors and least common multiples."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.base.dtypes import (
    COMPLEX_SET,
    UNSIGNED,
    is_int,
    itemsize,
    standardize_dtype,
    to_float,
)
from kbackend.core import lang, operators
from kbackend.core.convert import to_tensor
from kbackend.core.operators import promote
from kbackend.core.tensor import Tensor
from kbackend.ops.define import op


@op()
def bitwise_and(x: Any, y: Any) -> Any:
    """Bits that are set in both.

    Args:
        x: tensor of integers or bool.
        y: tensor that broadcasts with it.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> bitwise_and([6], [3]).tolist()
        [2]
    """
    return lang.bitwise_and(*promote(x, y))


@op()
def bitwise_or(x: Any, y: Any) -> Any:
    """Bits that are set in at least one.

    Args:
        x: tensor of integers or bool.
        y: tensor that broadcasts with it.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> bitwise_or([6], [3]).tolist()
        [7]
    """
    return lang.bitwise_or(*promote(x, y))


@op()
def bitwise_xor(x: Any, y: Any) -> Any:
    """Bits that are set in exactly one.

    Args:
        x: tensor of integers or bool.
        y: tensor that broadcasts with it.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> bitwise_xor([6], [3]).tolist()
        [5]
    """
    return lang.bitwise_xor(*promote(x, y))


@op()
def bitwise_left_shift(x: Any, y: Any) -> Any:
    """Bits moved towards the high end.

    Args:
        x: tensor of integers.
        y: tensor that broadcasts with it.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> bitwise_left_shift([1], [3]).tolist()
        [8]
    """
    return lang.shift_left(*operators._bool_to_int(*promote(x, y)))


@op()
def left_shift(x: Any, y: Any) -> Any:
    """The same as `bitwise_left_shift`.

    Args:
        x: tensor of integers.
        y: tensor that broadcasts with it.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> left_shift([1], [3]).tolist()
        [8]
    """
    return lang.shift_left(*operators._bool_to_int(*promote(x, y)))


@op()
def bitwise_right_shift(x: Any, y: Any) -> Any:
    """Bits moved towards the low end; the sign is kept.

    Args:
        x: tensor of integers.
        y: tensor that broadcasts with it.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> bitwise_right_shift([8], [3]).tolist()
        [1]
    """
    return lang.shift_right(*operators._bool_to_int(*promote(x, y)))


@op()
def right_shift(x: Any, y: Any) -> Any:
    """The same as `bitwise_right_shift`.

    Args:
        x: tensor of integers.
        y: tensor that broadcasts with it.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> right_shift([8], [3]).tolist()
        [1]
    """
    return lang.shift_right(*operators._bool_to_int(*promote(x, y)))


@op()
def bitwise_invert(x: Any) -> Any:
    """Each bit flipped; `not` for bool.

    Args:
        x: tensor of integers or bool.

    Returns:
        Tensor like x.

    Example:
        >>> bitwise_invert([0, 5]).tolist()
        [-1, -6]
    """
    return _invert(x)


@op()
def bitwise_not(x: Any) -> Any:
    """The same as `bitwise_invert`.

    Args:
        x: tensor of integers or bool.

    Returns:
        Tensor like x.

    Example:
        >>> bitwise_not([0, 5]).tolist()
        [-1, -6]
    """
    return _invert(x)


def _invert(x: Any) -> Any:
    x = to_tensor(x)
    if x.dtype in UNSIGNED:
        return lang.bitwise_xor(x, 2 ** (8 * itemsize(x.dtype)) - 1)
    return operators.invert(x)


def _gcd(x: Any, y: Any) -> Any:
    """Euclid's algorithm on all elements at once, as long as the slowest needs."""
    x, y = (v if v.dtype in UNSIGNED else lang.abs_(v) for v in (x, y))
    # Fibonacci numbers take the most steps: fewer than 1.45 per bit.
    for _ in range(12 * itemsize(x.dtype)):
        if y.__class__ is Tensor and not np.asarray(y).any():
            break
        done = lang.eq(y, 0)
        rest = lang.mod(x, lang.select(done, 1, y))
        x, y = lang.select(done, x, y), lang.select(done, 0, rest)
    shape = lang.add(x, y).shape
    return x if x.shape == shape else lang.broadcast_to(x, shape)


def _integers(x1: Any, x2: Any, name: str) -> tuple[Any, Any]:
    x, y = operators._bool_to_int(*promote(x1, x2))
    if not is_int(x.dtype):
        raise TypeError(f"[{name}] takes integers. Received: {x.dtype}.")
    return x, y


@op()
def gcd(x1: Any, x2: Any) -> Any:
    """Greatest common divisor.

    Args:
        x1: tensor of integers.
        x2: tensor of integers that broadcasts with it.

    Returns:
        Tensor of the common dtype, not negative.

    Example:
        >>> gcd([12, 7], 18).tolist()
        [6, 1]
    """
    return _gcd(*_integers(x1, x2, "gcd"))


@op()
def lcm(x1: Any, x2: Any) -> Any:
    """Least common multiple.

    Args:
        x1: tensor of integers.
        x2: tensor of integers that broadcasts with it.

    Returns:
        Tensor of the common dtype, not negative; 0 where either is 0.

    Example:
        >>> lcm([4, 0], 6).tolist()
        [12, 0]
    """
    x, y = _integers(x1, x2, "lcm")
    divisor = lang.maximum(_gcd(x, y), 1)
    out = lang.mul(lang.floor_divide(x, divisor), y)
    return out if out.dtype in UNSIGNED else lang.abs_(out)


@op()
def ldexp(x1: Any, x2: Any) -> Any:
    """x1 times 2 to the power x2.

    Args:
        x1: tensor.
        x2: tensor of integers that broadcasts with it.

    Returns:
        Floating tensor.

    Raises:
        TypeError: the exponents are not integers.

    Example:
        >>> ldexp([0.75], [2]).tolist()
        [3.0]
    """
    x, exponent = to_tensor(x1), to_tensor(x2)
    if not is_int(exponent.dtype) and exponent.dtype != "bool":
        raise TypeError(f"[ldexp] the exponents must be integers. Received: {exponent.dtype}.")
    dtype = to_float(x.dtype)
    if dtype in COMPLEX_SET:
        raise TypeError(f"[ldexp] takes real numbers. Received: {dtype}.")
    exponent = lang.cast(exponent, "int32")
    # In two steps, so that a power of 2 that overflows does no harm to a small x.
    half = lang.shift_right(exponent, 1)
    out = lang.cast(x, dtype)
    for power in (half, lang.sub(exponent, half)):
        out = lang.mul(out, lang.pow_(2.0, lang.cast(power, dtype)))
    return out


@op()
def view(x: Any, dtype: Any = None) -> Any:
    """The same bits read as another dtype.

    Args:
        x: tensor.
        dtype: dtype to read; one of another width changes the last dimension (the low bytes
            come first).

    Returns:
        Tensor.

    Raises:
        ValueError: the last dimension does not hold a whole number of elements.

    Example:
        >>> view(np.array([1.0], "float32"), "int32").tolist()
        [1065353216]
    """
    x = to_tensor(x)
    if dtype is None:
        return x
    dtype = standardize_dtype(dtype)
    if dtype == x.dtype:
        return x
    old, new = itemsize(x.dtype), itemsize(dtype)
    if old == new:
        return lang.bitcast(x, dtype)
    size = x.shape[-1] if x.shape else None
    if not x.shape or (old < new and size is not None and size * old % new):
        raise ValueError(
            f"[view] the last dimension must hold a whole number of {dtype} elements. "
            f"Received: {x.dtype} of shape {tuple(x.shape)}."
        )
    wide = f"uint{8 * max(old, new)}"
    narrow = f"uint{8 * min(old, new)}"
    times, bits = max(old, new) // min(old, new), 8 * min(old, new)
    lead = tuple(x.shape[:-1])
    if old > new:
        word = lang.reshape(lang.bitcast(x, wide), (*x.shape, 1))
        places = lang.mul(lang.iota((times,), 0, wide), bits)
        parts = lang.bitwise_and(lang.shift_right(word, places), 2**bits - 1)
        flat = lang.reshape(
            lang.cast(parts, narrow), (*lead, None if size is None else size * times)
        )
        return lang.bitcast(flat, dtype)
    pieces = lang.reshape(
        lang.cast(lang.bitcast(x, narrow), wide),
        (*lead, None if size is None else size // times, times),
    )
    places = lang.mul(lang.iota((times,), 0, wide), bits)
    word = lang.reduce_sum(lang.shift_left(pieces, places), (len(lead) + 1,))
    return lang.bitcast(word, dtype)
