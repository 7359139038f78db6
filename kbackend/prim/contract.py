"""Rules of `dot`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.prim.common import require_same_dtype

Ints = tuple[int, ...]
Pairs = tuple[Ints, Ints]


def _free(ndim: int, *used: Ints) -> Ints:
    return tuple(i for i in range(ndim) if not any(i in axes for axes in used))


def _dot_shape(x: Aval, y: Aval, contract: Pairs, batch: Pairs) -> Aval:
    dtype = require_same_dtype(x, y)
    for aval, summed, batched in ((x, contract[0], batch[0]), (y, contract[1], batch[1])):
        axes = summed + batched
        if len(set(axes)) != len(axes) or any(not 0 <= i < len(aval.shape) for i in axes):
            raise ValueError(
                f"The axes of {aval} must be distinct and within its dimensions. "
                f"Received: contract={summed}, batch={batched}."
            )
    shape = []
    for name, pairs in (("contract", contract), ("batch", batch)):
        if len(pairs[0]) != len(pairs[1]):
            raise ValueError(f"'{name}' must pair axes one to one. Received: {pairs}.")
        for i, j in zip(*pairs, strict=True):
            a, b = x.shape[i], y.shape[j]
            if a is not None and b is not None and a != b:
                raise ValueError(
                    f"Paired dimensions must be equal, but axis {i} of the first argument is {a} "
                    f"and axis {j} of the second is {b}."
                )
            if name == "batch":
                shape.append(b if a is None else a)
    shape += [x.shape[i] for i in _free(len(x.shape), contract[0], batch[0])]
    shape += [y.shape[i] for i in _free(len(y.shape), contract[1], batch[1])]
    return Aval(tuple(shape), dtype)


# (whether g comes first, contract, batch, transposition or None): the product of g and the other
# argument that is one argument's cotangent.
_Plan = tuple[bool, Pairs, Pairs, Ints | None]


@lru_cache(maxsize=1024)
def _plan(ndim: int, other: int, summed: Pairs, batch: Pairs, g_axes: Ints) -> _Plan:
    """Plan for the cotangent of an argument with `ndim` axes.

    `summed` and `batch` are `(its axes, the other's axes)`; `g_axes` are the axes of g that come
    from the other's free ones.
    """
    mine = _free(ndim, summed[0], batch[0])
    theirs = _free(other, summed[1], batch[1])
    # What is left of the other argument: its summed axes in order; they become mine.
    left = tuple(mine_axis for _, mine_axis in sorted(zip(summed[1], summed[0], strict=True)))
    g_batch = tuple(range(len(batch[0])))
    identity = tuple(range(ndim))
    if batch[0] + left + mine == identity:
        return False, (theirs, g_axes), (batch[1], g_batch), None
    order = batch[0] + mine + left
    back = tuple(order.index(i) for i in identity)
    return True, (g_axes, theirs), (g_batch, batch[1]), None if back == identity else back


def _cotangent(g: Any, other: Any, plan: _Plan) -> Any:
    g_first, contract, batch, back = plan
    a, b = (g, other) if g_first else (other, g)
    out = lang.dot(a, b, contract=contract, batch=batch)
    return out if back is None else lang.transpose(out, back)


def _dot_vjp_x(g: Any, result: Any, x: Any, y: Any, contract: Pairs, batch: Pairs) -> Any:
    ndim = len(x.shape)
    y_free = len(y.shape) - len(contract[1]) - len(batch[1])
    total = len(g.shape)
    g_axes = tuple(range(total - y_free, total))
    return _cotangent(g, y, _plan(ndim, len(y.shape), contract, batch, g_axes))


def _dot_vjp_y(g: Any, result: Any, x: Any, y: Any, contract: Pairs, batch: Pairs) -> Any:
    x_free = len(x.shape) - len(contract[0]) - len(batch[0])
    g_axes = tuple(range(len(batch[0]), len(batch[0]) + x_free))
    return _cotangent(g, x, _plan(len(y.shape), len(x.shape), contract[::-1], batch[::-1], g_axes))


lang.dot_p.define(shape=_dot_shape, vjp=(_dot_vjp_x, _dot_vjp_y))
