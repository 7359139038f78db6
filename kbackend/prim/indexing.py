"""Rules of gather and scatter."""

from __future__ import annotations

from typing import Any

from kbackend.base import dtypes
from kbackend.base.shapes import Shape, broadcast
from kbackend.core import lang
from kbackend.core.aval import Aval

Ints = tuple[int, ...]


def _gathered(x: Aval, indices: tuple[Aval, ...], axes: Ints) -> Shape:
    """Shape of x gathered, after the checks that gather and scatter share."""
    if not axes or len(axes) != len(indices):
        raise ValueError(
            "There must be one index tensor per axis, and at least one. "
            f"Received: {len(indices)} for axes={axes}."
        )
    for axis in axes:
        if not 0 <= axis < len(x.shape):
            raise ValueError(
                f"axis={axis} is out of bounds for a tensor with {len(x.shape)} dimensions."
            )
    if list(axes) != sorted(set(axes)):
        raise ValueError(f"The axes must be different and ascending. Received: axes={axes}.")
    for index in indices:
        if not dtypes.is_int(index.dtype):
            raise TypeError(f"Indices must be integers. Received: {index.dtype}.")
    rest = tuple(d for i, d in enumerate(x.shape) if i not in axes)
    return broadcast(*(index.shape for index in indices)) + rest


def _gather_shape(x: Aval, *indices: Aval, axes: Ints) -> Aval:
    return Aval(_gathered(x, indices, axes), x.dtype)


def _gather_vjp(position: int) -> Any:
    if position:
        return None

    def vjp(g: Any, result: Any, x: Any, *indices: Any, axes: Ints) -> Any:
        return lang.scatter(lang.zeros(x.shape, x.dtype), g, indices, axes, "add")

    return vjp


lang.gather_p.define(shape=_gather_shape, vjp=_gather_vjp)


MODES = ("add", "mul", "max", "min", "set")


def _scatter_shape(x: Aval, updates: Aval, *indices: Aval, axes: Ints, mode: str) -> Aval:
    expected = _gathered(x, indices, axes)
    if mode not in MODES:
        raise ValueError(f"'mode' must be one of {', '.join(MODES)}. Received: mode={mode!r}.")
    if updates.dtype != x.dtype:
        raise TypeError(f"The updates must have x's dtype {x.dtype}. Received: {updates.dtype}.")
    fits = len(updates.shape) == len(expected) and all(
        a == b or a is None or b is None for a, b in zip(updates.shape, expected, strict=True)
    )
    if not fits:
        raise ValueError(
            f"The updates must have the shape {expected} of the indexed part. "
            f"Received: {updates.shape}."
        )
    return Aval(x.shape, x.dtype)


def _scatter_vjp(position: int) -> Any:
    return (_scatter_vjp_x, _scatter_vjp_updates)[position] if position < 2 else None


def _scatter_vjp_x(
    g: Any, result: Any, x: Any, updates: Any, *indices: Any, axes: Ints, mode: str
) -> Any:
    if mode == "add":
        return g
    if mode == "set":
        return lang.scatter(g, lang.zeros(updates.shape, g.dtype), indices, axes, "set")
    if mode == "mul":
        ones = lang.full(x.shape, 1, x.dtype)
        return lang.mul(g, lang.scatter(ones, updates, indices, axes, "mul"))
    mine = lang.cast(lang.eq(x, result), g.dtype)
    return lang.mul(lang.div(g, _winners(result, x, updates, indices, axes)), mine)


def _scatter_vjp_updates(
    g: Any, result: Any, x: Any, updates: Any, *indices: Any, axes: Ints, mode: str
) -> Any:
    if mode == "add":
        return lang.gather(g, indices, axes)
    if mode == "set":
        kept = _last_writes(x, updates, indices, axes)
        return lang.select(kept, lang.gather(g, indices, axes), 0.0)
    if mode == "mul":
        others = _product_of_others(x, updates, indices, axes)
        return lang.mul(lang.gather(lang.mul(g, x), indices, axes), others)
    mine = lang.cast(lang.eq(updates, lang.gather(result, indices, axes)), g.dtype)
    share = lang.div(g, _winners(result, x, updates, indices, axes))
    return lang.mul(lang.gather(share, indices, axes), mine)


def _winners(result: Any, x: Any, updates: Any, indices: Any, axes: Ints) -> Any:
    """How many values tie for each place of a max or min; they share its gradient equally."""
    won = lang.cast(lang.eq(updates, lang.gather(result, indices, axes)), x.dtype)
    count = lang.scatter(lang.cast(lang.eq(x, result), x.dtype), won, indices, axes, "add")
    # None equals a result that is NaN.
    return lang.maximum(count, 1.0)


def _last_writes(x: Any, updates: Any, indices: Any, axes: Ints) -> Any:
    """Which updates survive a "set" with repeated places, as a mask that broadcasts to them."""
    rest = len(x.shape) - len(axes)
    shape = tuple(updates.shape[: len(updates.shape) - rest])
    numbers = lang.zeros(shape, "int32")
    for axis, size in enumerate(shape):
        numbers = lang.add(lang.mul(numbers, size), lang.iota(shape, axis, "int32"))
    board = lang.zeros(tuple(x.shape[axis] for axis in axes), "int32")
    every = tuple(range(len(axes)))
    written = lang.scatter(board, numbers, indices, every, "set")
    kept = lang.eq(lang.gather(written, indices, every), numbers)
    return lang.reshape(kept, shape + (1,) * rest)


def _product_of_others(x: Any, updates: Any, indices: Any, axes: Ints) -> Any:
    """For each update the product of the other updates of its place.

    Exact with zeros. It can be differentiated again, except where two updates of one place are
    both zero: there the mixed second derivative comes out as zero.
    """
    ones = lang.full(x.shape, 1, x.dtype)
    zero = lang.eq(updates, 0.0)
    filled = lang.select(zero, 1.0, updates)
    product = lang.gather(lang.scatter(ones, updates, indices, axes, "mul"), indices, axes)
    nonzero = lang.gather(lang.scatter(ones, filled, indices, axes, "mul"), indices, axes)
    zeros = lang.scatter(
        lang.zeros(x.shape, x.dtype), lang.cast(zero, x.dtype), indices, axes, "add"
    )
    alone = lang.eq(lang.gather(zeros, indices, axes), 1.0)
    of_zero = lang.select(alone, nonzero, 0.0)
    return lang.select(zero, of_zero, lang.div(product, filled))


lang.scatter_p.define(shape=_scatter_shape, vjp=_scatter_vjp)
