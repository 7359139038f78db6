"""Rules of sorting and searching."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.primitive import NO_GRADIENT


def _sort_shape(x: Aval, axis: int) -> Aval:
    if not 0 <= axis < len(x.shape):
        raise ValueError(
            f"axis={axis} is out of bounds for a tensor with {len(x.shape)} dimensions."
        )
    return Aval(x.shape, x.dtype)


def _argsort_shape(x: Aval, axis: int) -> Aval:
    return Aval(_sort_shape(x, axis).shape, "int32")


def _put_along(x: Any, g: Any, places: Any, axis: int) -> Any:
    """Zeros shaped like x, with g added at `places` along `axis`."""
    indices = []
    for i, size in enumerate(places.shape):
        ones = tuple(size if j == i else 1 for j in range(len(places.shape)))
        indices.append(places if i == axis else lang.iota(ones, i, "int32"))
    zeros = lang.zeros(x.shape, g.dtype)
    return lang.scatter(zeros, g, tuple(indices), tuple(range(len(indices))), "add")


def _sort_vjp(g: Any, result: Any, x: Any, axis: int) -> Any:
    return _put_along(x, g, lang.argsort(x, axis), axis)


lang.sort_p.define(shape=_sort_shape, vjp=(_sort_vjp,))
# Positions are discrete.
lang.argsort_p.define(shape=_argsort_shape, vjp=NO_GRADIENT)


def _searchsorted_shape(sorted_: Aval, values: Aval, side: str) -> Aval:
    if len(sorted_.shape) != 1:
        raise ValueError(f"The sorted values must be a vector. Received: shape={sorted_.shape}.")
    if sorted_.dtype != values.dtype:
        raise TypeError(
            f"The arguments must have one dtype; {sorted_.dtype} and {values.dtype} do not. "
            "Cast one first."
        )
    if side not in ("left", "right"):
        raise ValueError(f"'side' must be 'left' or 'right'. Received: side={side!r}.")
    return Aval(values.shape, "int32")


# Positions are discrete.
lang.searchsorted_p.define(shape=_searchsorted_shape, vjp=NO_GRADIENT)


def _top_k_shape(x: Aval, k: int) -> tuple[Aval, Aval]:
    if not x.shape:
        raise ValueError("A scalar has no last axis to search.")
    size = x.shape[-1]
    if k < 0 or (size is not None and k > size):
        raise ValueError(f"'k' must be between 0 and the last dimension {size}. Received: k={k}.")
    shape = (*x.shape[:-1], k)
    return Aval(shape, x.dtype), Aval(shape, "int32")


def _top_k_vjp(g: Any, result: Any, x: Any, k: int) -> Any:
    return _put_along(x, g[0], result[1], len(x.shape) - 1)


lang.top_k_p.define(shape=_top_k_shape, vjp=(_top_k_vjp,))
