"""Rules of the running sums and products."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.aval import Aval


def _scan_shape(x: Aval, axis: int, reverse: bool) -> Aval:
    if not 0 <= axis < len(x.shape):
        raise ValueError(
            f"axis={axis} is out of bounds for a tensor with {len(x.shape)} dimensions."
        )
    if x.dtype == "bool":
        raise TypeError("Needs numbers, not bool. Cast it first.")
    return Aval(x.shape, x.dtype)


def _cumsum_vjp(g: Any, result: Any, x: Any, axis: int, reverse: bool) -> Any:
    return lang.cumsum(g, axis, not reverse)


lang.cumsum_p.define(shape=_scan_shape, vjp=(_cumsum_vjp,))


def _part(x: Any, axis: int, start: int, stop: int) -> Any:
    starts = tuple(start if i == axis else 0 for i in range(len(x.shape)))
    stops = tuple(stop if i == axis else d for i, d in enumerate(x.shape))
    return lang.slice_(x, starts, stops)


def _cumprod_vjp(g: Any, result: Any, x: Any, axis: int, reverse: bool) -> Any:
    """Without a division, so that zeros do no harm and it can be differentiated again.

    With y the running product, dx[k] = y[k-1] * s[k] where s[k] = g[k] + x[k+1] * s[k+1]. The
    recurrence is solved by doubling (W. D. Hillis, G. L. Steele, "Data parallel algorithms",
    CACM 29, 1986): s[k] = total[k] + factor[k] * s[k+step], with the step doubled each time.
    """
    if reverse:
        g, x = lang.rev(g, (axis,)), lang.rev(x, (axis,))
        grad = _cumprod_vjp(g, None, x, axis, False)
        return lang.rev(grad, (axis,))
    size = x.shape[axis]
    if size < 2:
        return g
    total, factor, step = g, _part(x, axis, 1, size), 1
    while step < size:
        head = lang.mul(factor, _part(total, axis, step, size))
        head = lang.add(_part(total, axis, 0, size - step), head)
        total = lang.concatenate((head, _part(total, axis, size - step, size)), axis)
        length = size - 2 * step
        if length > 0:
            factor = lang.mul(
                _part(factor, axis, 0, length), _part(factor, axis, step, step + length)
            )
        step *= 2
    first = lang.full(tuple(1 if i == axis else d for i, d in enumerate(x.shape)), 1, x.dtype)
    before = lang.cumprod(_part(x, axis, 0, size - 1), axis)
    return lang.mul(lang.concatenate((first, before), axis), total)


lang.cumprod_p.define(shape=_scan_shape, vjp=(_cumprod_vjp,))
