"""Rules of the reductions."""

from __future__ import annotations

from typing import Any

from kbackend.base import shapes
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.primitive import NO_GRADIENT

Ints = tuple[int, ...]


def reducing(x: Aval, *, axes: Ints, keepdims: bool) -> Aval:
    """The axes vanish, or become 1."""
    return Aval(
        shapes.reduced(x.shape, shapes.canonical_axes(axes, len(x.shape)), keepdims), x.dtype
    )


def reducing_nonempty(x: Aval, *, axes: Ints, keepdims: bool) -> Aval:
    """Like `reducing`, of at least one element."""
    out = reducing(x, axes=axes, keepdims=keepdims)
    if any(x.shape[axis] == 0 for axis in axes):
        raise ValueError(f"There is no greatest or least of zero elements. Reduced axes: {axes}.")
    return out


def locating(x: Aval, *, axis: int) -> Aval:
    """int32 without the axis."""
    axis = shapes.canonical_axis(axis, len(x.shape))
    if x.shape[axis] == 0:
        raise ValueError(f"There is no greatest or least of zero elements. Axis: {axis}.")
    return Aval(shapes.reduced(x.shape, (axis,), False), "int32")


def spread(g: Any, x: Any, axes: Ints) -> Any:
    """`g` with the reduced `axes` back, as ones (to be broadcast against x)."""
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    return g if g.shape == shape else lang.reshape(g, shape)


def sum_vjp(g: Any, ans: Any, x: Any, *, axes: Ints, keepdims: bool) -> Any:
    """g at every place."""
    return lang.broadcast_to(spread(g, x, axes), x.shape)


def extreme_vjp(g: Any, ans: Any, x: Any, *, axes: Ints, keepdims: bool) -> Any:
    """g shared evenly by the places that hold the extreme value."""
    hit = lang.cast(lang.eq(x, spread(ans, x, axes)), g.dtype)
    count = lang.reduce_sum(hit, axes, keepdims=True)
    return lang.mul(hit, lang.div(spread(g, x, axes), count))


def prod_vjp(g: Any, ans: Any, x: Any, *, axes: Ints, keepdims: bool) -> Any:
    """g times the product of all the other elements, right where some of them are zero."""
    if not axes or x.size == 0:
        return lang.broadcast_to(spread(g, x, axes), x.shape)
    # Line the reduced axes up as one, multiply what comes before and after each element.
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    order = kept + axes
    moved = lang.transpose(x, order)
    kept_shape = tuple(x.shape[i] for i in kept)
    flat = lang.reshape(moved, (*kept_shape, x.size // _size(kept_shape)))
    last = len(kept)
    ones = lang.full((*kept_shape, 1), 1, x.dtype)
    n = flat.shape[last]
    starts, stops = (0,) * (last + 1), (*kept_shape, n)
    before = lang.slice_(lang.concatenate([ones, lang.cumprod(flat, last)], last), starts, stops)
    after = lang.slice_(
        lang.concatenate([lang.cumprod(flat, last, reverse=True), ones], last),
        (*starts[:-1], 1),
        (*kept_shape, n + 1),
    )
    others = lang.reshape(lang.mul(before, after), moved.shape)
    inverse = tuple(sorted(range(x.ndim), key=order.__getitem__))
    return lang.mul(spread(g, x, axes), lang.transpose(others, inverse))


def _size(shape: Ints) -> int:
    size = 1
    for dim in shape:
        size *= dim
    return size


lang.reduce_sum_p.define(reducing, (sum_vjp,))
lang.reduce_prod_p.define(reducing, (prod_vjp,))
lang.reduce_max_p.define(reducing_nonempty, (extreme_vjp,))
lang.reduce_min_p.define(reducing_nonempty, (extreme_vjp,))
lang.argmax_p.define(locating, NO_GRADIENT)
lang.argmin_p.define(locating, NO_GRADIENT)
