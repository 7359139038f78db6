"""What the random functions share in reading their arguments."""

from __future__ import annotations

from typing import Any

from kbackend.base import shapes
from kbackend.base.dtypes import INT_SET, standardize_dtype
from kbackend.base.shapes import Shape
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.random.forms import FLOATS


def float_dtype(name: str, dtype: Any) -> str:
    """The dtype of the result, which must be a float of at least 16 bits."""
    wanted = standardize_dtype(dtype)
    if wanted not in FLOATS:
        raise ValueError(
            f"[random.{name}] 'dtype' must be one of {', '.join(FLOATS)}. Received: dtype={dtype}."
        )
    return wanted


def int_dtype(name: str, dtype: Any) -> str:
    """The dtype of the result, which must be an integer."""
    wanted = standardize_dtype(dtype)
    if wanted not in INT_SET:
        raise ValueError(
            f"[random.{name}] 'dtype' must be an integer dtype. Received: dtype={dtype}."
        )
    return wanted


def parameter(value: Any, dtype: str, shape: Shape) -> Any:
    """A distribution's parameter as a tensor, checked to broadcast to `shape`.

    Raises:
        ValueError: it does not.
    """
    tensor = to_tensor(value, dtype)
    check_broadcast(tuple(tensor.shape), shape)
    return tensor


def check_broadcast(given: Shape, shape: Shape) -> None:
    """Raises `ValueError` unless a parameter of shape `given` broadcasts to `shape`."""
    if given and (len(given) > len(shape) or shapes.broadcast(given, shape) != shape):
        raise ValueError(
            f"A parameter of shape {given} can't be broadcast to the shape {shape} of the result."
        )


def affine(x: Any, scale: Any, offset: Any, shape: Shape) -> Any:
    """`x * scale + offset`, skipping what changes nothing."""
    if not (isinstance(scale, (int, float)) and scale == 1):
        x = lang.mul(x, parameter(scale, x.dtype, shape))
    if not (isinstance(offset, (int, float)) and offset == 0):
        x = lang.add(x, parameter(offset, x.dtype, shape))
    return x
