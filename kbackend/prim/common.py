"""What several families' rules share."""

from __future__ import annotations

from typing import Any

from kbackend.base.dtypes import FLOAT_SET, INEXACT_SET, is_int
from kbackend.core import lang
from kbackend.core.aval import Aval


def require_same_dtype(*avals: Aval) -> str:
    """The common dtype of `avals`."""
    dtype = avals[0].dtype
    for aval in avals[1:]:
        if aval.dtype != dtype:
            raise TypeError(
                f"The arguments must have one dtype. Received: {dtype} and {aval.dtype}. Cast one."
            )
    return dtype


def require_float(aval: Aval) -> None:
    """Raises unless the value is of a real floating dtype."""
    if aval.dtype not in FLOAT_SET:
        raise TypeError(f"Needs a floating dtype, not {aval.dtype}. Cast it first.")


def require_inexact(aval: Aval) -> None:
    """Raises unless the value is floating or complex."""
    if aval.dtype not in INEXACT_SET:
        raise TypeError(f"Needs a floating or complex dtype, not {aval.dtype}. Cast it first.")


def require_bits(aval: Aval) -> None:
    """Raises unless the value is of an integer dtype or bool."""
    if aval.dtype != "bool" and not is_int(aval.dtype):
        raise TypeError(f"Needs an integer or bool dtype, not {aval.dtype}.")


def unbroadcast(g: Any, like: Any) -> Any:
    """`g` summed over the dimensions along which `like` was broadcast to g's shape."""
    shape, target = g.shape, like.shape
    if shape == target:
        return g
    lead = len(shape) - len(target)
    axes = tuple(i for i, n in enumerate(shape) if i < lead or (target[i - lead] == 1 and n != 1))
    if axes:
        g = lang.reduce_sum(g, axes, keepdims=False)
    return lang.reshape(g, target) if g.shape != target else g
