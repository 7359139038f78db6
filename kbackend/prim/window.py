"""Rules of sums and maxima over windows."""

from __future__ import annotations

from typing import Any

from kbackend.base.dtypes import COMPLEX_SET
from kbackend.base.shapes import Shape
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.lang.contract import Ints, Pads
from kbackend.prim.conv import check_equal, check_windows, positions


def _out(space: Shape, window: Ints, strides: Ints, padding: Pads) -> Shape:
    check_windows(len(space) + 2, window, strides, padding)
    return positions(space, window, strides, padding, (1,) * len(window))


def _reduced(x: Aval, window: Ints, strides: Ints, padding: Pads) -> Aval:
    out = _out(x.shape[1:-1], window, strides, padding)
    return Aval((x.shape[0], *out, x.shape[-1]), x.dtype)


def _require_ordered(x: Aval) -> None:
    if x.dtype in COMPLEX_SET:
        raise TypeError(f"Needs a dtype with an order, not {x.dtype}.")


def _max_shape(x: Aval, window: Ints, strides: Ints, padding: Pads) -> Aval:
    _require_ordered(x)
    return _reduced(x, window, strides, padding)


def _sum_shape(x: Aval, window: Ints, strides: Ints, padding: Pads) -> Aval:
    return _reduced(x, window, strides, padding)


def _pick_shape(x: Aval, t: Aval, window: Ints, strides: Ints, padding: Pads) -> Aval:
    _require_ordered(x)
    check_equal("shape of the second argument", t.shape, x.shape)
    return _reduced(x, window, strides, padding)._replace(dtype=t.dtype)


def _unpick_shape(x: Aval, g: Aval, window: Ints, strides: Ints, padding: Pads) -> Aval:
    _require_ordered(x)
    out = _reduced(x, window, strides, padding)
    check_equal("shape of the cotangent", g.shape, out.shape)
    return Aval(x.shape, g.dtype)


def _spread_shape(g: Aval, space: Shape, window: Ints, strides: Ints, padding: Pads) -> Aval:
    out = _out(space, window, strides, padding)
    check_equal("spatial dimensions of the cotangent", g.shape[1:-1], out)
    return Aval((g.shape[0], *space, g.shape[-1]), g.dtype)


# ----- gradients -----


def _max_vjp(g: Any, result: Any, x: Any, **how: Any) -> Any:
    return lang.window_unpick(x, g, **how)


def _pick_vjp(g: Any, result: Any, x: Any, t: Any, **how: Any) -> Any:
    return lang.window_unpick(x, g, **how)


def _unpick_vjp(h: Any, result: Any, x: Any, g: Any, **how: Any) -> Any:
    return lang.window_pick(x, h, **how)


def _sum_vjp(g: Any, result: Any, x: Any, **how: Any) -> Any:
    return lang.window_spread(g, space=x.shape[1:-1], **how)


def _spread_vjp(h: Any, result: Any, g: Any, space: Shape, **how: Any) -> Any:
    return lang.window_sum(h, **how)


# Which element is the greatest changes in steps only, so no gradient flows through the choice.
lang.window_max_p.define(shape=_max_shape, vjp=(_max_vjp,))
lang.window_pick_p.define(shape=_pick_shape, vjp=(None, _pick_vjp))
lang.window_unpick_p.define(shape=_unpick_shape, vjp=(None, _unpick_vjp))
lang.window_sum_p.define(shape=_sum_shape, vjp=(_sum_vjp,))
lang.window_spread_p.define(shape=_spread_shape, vjp=(_spread_vjp,))
