"""Norms of vectors and matrices."""

from __future__ import annotations

import math
from typing import Any

from kbackend.base import shapes
from kbackend.core import lang
from kbackend.ops.define import op
from kbackend.ops.nn.arguments import axes_of, floating


def _vector_norm(x: Any, order: Any, axes: tuple[int, ...]) -> Any:
    size = lang.abs_(x)
    if order == math.inf:
        return lang.reduce_max(size, axes, True)
    if order == -math.inf:
        return lang.reduce_min(size, axes, True)
    if order == 0:
        return lang.reduce_sum(lang.cast(lang.ne(x, 0.0), x.dtype), axes, True)
    if order == 1:
        return lang.reduce_sum(size, axes, True)
    if order == 2:
        return lang.sqrt(lang.reduce_sum(lang.mul(x, x), axes, True))
    powers = lang.pow_(size, float(order))
    return lang.pow_(lang.reduce_sum(powers, axes, True), 1.0 / order)


def _matrix_norm(x: Any, order: Any, axes: tuple[int, int]) -> Any:
    if order in (1, -1, math.inf, -math.inf):
        along, across = (axes[0], axes[1]) if abs(order) == 1 else (axes[1], axes[0])
        sums = lang.reduce_sum(lang.abs_(x), (along,), True)
        reduce = lang.reduce_max if order > 0 else lang.reduce_min
        return reduce(sums, (across,), True)
    n = len(x.shape)
    others = tuple(i for i in range(n) if i not in axes)
    s = lang.svd(lang.transpose(x, (*others, *axes)), full_matrices=False)[1]
    if order == "nuc":
        out = lang.reduce_sum(s, (n - 2,))
    else:
        out = (lang.reduce_max if order == 2 else lang.reduce_min)(s, (n - 2,))
    return lang.reshape(out, tuple(1 if i in axes else d for i, d in enumerate(x.shape)))


@op()
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Norm of vectors or matrices.

    Args:
        x: numeric tensor.
        ord: `None` for the root of the sum of squares; a number or infinity, for vectors; 1, 2, -1,
            -2, infinities, `"fro"` or `"nuc"` for matrices.
        axis: integer for vectors, pair of integers for matrices; `None` means all dimensions.
        keepdims: whether the reduced dimensions stay with size 1.

    Returns:
        A floating tensor.

    Raises:
        ValueError: the order or the axes do not fit.

    Example:
        >>> norm([3.0, 4.0]).item()
        5.0
    """
    x = floating(x)
    axes = axes_of(axis, x)
    if ord is None:
        out = _vector_norm(x, 2, axes)
    elif len(axes) == 1:
        if isinstance(ord, str):
            raise ValueError(f"[norm] vectors have no norm of order {ord!r}. Pass a number.")
        out = _vector_norm(x, ord, axes)
    elif len(axes) == 2:
        if ord not in (1, 2, -1, -2, math.inf, -math.inf, "fro", "nuc"):
            raise ValueError(f"[norm] matrices have no norm of order {ord!r}.")
        # The pair may be given in descending order; it says which are the rows.
        pair = axes if axis is None else tuple(a % len(x.shape) for a in axis)
        out = _vector_norm(x, 2, axes) if ord == "fro" else _matrix_norm(x, ord, pair)
    else:
        raise ValueError(
            f"[norm] an order needs one axis or two. Received: axis={axis}, ord={ord!r}, "
            f"x.shape={tuple(x.shape)}."
        )
    return out if keepdims else lang.reshape(out, shapes.reduced(tuple(x.shape), axes, False))
