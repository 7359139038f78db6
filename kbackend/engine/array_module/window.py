"""Maxima and sums over windows, channels last, over the NumPy API.

Maximum and sum take one spatial dimension after the other, each with one pass per tap. Where the
maximum comes from is found by comparing each tap with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from math import prod
from typing import Any

import ml_dtypes
import numpy as np

from kbackend.engine.array_module.contract import LOW_PRECISION
from kbackend.engine.array_module.taps import Slices, positions, taps
from kbackend.engine.interface import Kernel

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


@lru_cache(maxsize=64)
def _lowest(dtype: np.dtype[Any]) -> Any:
    """What is not greater than anything of the dtype."""
    if dtype.kind == "b":
        return False
    if dtype.kind in "iu":
        return np.iinfo(dtype).min
    lowest = float(dtype.type(-np.inf))
    return float(ml_dtypes.finfo(dtype).min) if np.isnan(lowest) else lowest  # type: ignore[no-untyped-call]


def _positions(space: Ints, window: Ints, strides: Ints, padding: Pads) -> Ints:
    return positions(space, window, strides, padding, (1,) * len(window))


@lru_cache(maxsize=1024)
def _axis_taps(
    axis: int, size: int, window: int, stride: int, padding: tuple[int, int]
) -> tuple[tuple[Slices, Slices, bool], ...]:
    """Index expressions of each tap's source and target along one axis, and whether the target is
    every position."""
    everything = (slice(None),) * axis
    (out,) = _positions((size,), (window,), (stride,), (padding,))
    return tuple(
        ((*everything, tap.source[1]), (*everything, tap.target[1]), tap.target[1] == slice(0, out))
        for tap in taps((size,), (window,), (stride,), (padding,), (1,))
    )


# Integers as wide as the dtypes.
_BITS = {size: np.dtype(f"int{8 * size}") for size in (1, 2, 4, 8)}


def kernels(xp: Any, block_bytes: int = 1 << 20, look: bool = True) -> dict[str, Kernel]:
    """The kernels of this family on the array module `xp`.

    Args:
        xp: `numpy` or a module like it.
        block_bytes: how much to finish before going on, so that it stays in a cache from one tap
            to the next.
        look: whether looking at a value is cheap; it makes an accelerator wait.
    """
    float32 = xp.dtype("float32")

    def blocks(x: Any) -> Iterator[slice]:
        """Slices of the batch."""
        n = x.shape[0]
        step = max(1, block_bytes // max(prod(x.shape[1:]) * x.itemsize, 1))
        for i in range(0, n, step):
            yield slice(i, min(i + step, n))

    def along(op: Any, start: Any, x: Any, axis: int, how: Any) -> Any:
        """x reduced by `op` over a window along one axis."""
        size = x.shape[axis]
        window, stride, pads = how
        if window == stride == 1 and pads == (0, 0):
            return x
        (out,) = _positions((size,), (window,), (stride,), (pads,))
        touched = _axis_taps(axis, size, window, stride, pads)
        shape = (*x.shape[:axis], out, *x.shape[axis + 1 :])
        if len(touched) > 1 and touched[0][2] and touched[1][2]:
            result = op(x[touched[0][0]], x[touched[1][0]])
            touched = touched[2:]
        else:
            result = xp.full(shape, start, x.dtype)
        for source, target, _ in touched:
            part = result[target]
            op(part, x[source], out=part)
        return result

    def reduced(op: Any, start: Any, x: Any, window: Ints, strides: Ints, padding: Pads) -> Any:
        dtype = x.dtype
        narrow = dtype in LOW_PRECISION
        out_space = _positions(x.shape[1:-1], window, strides, padding)
        out = xp.empty((x.shape[0], *out_space, x.shape[-1]), dtype)
        for batch in blocks(x):
            part = x[batch].astype(float32) if narrow else x[batch]
            for axis, how in enumerate(zip(window, strides, padding, strict=True), 1):
                part = along(op, start, part, axis, how)
            out[batch] = part
        return out

    def window_max(x: Any, window: Ints, strides: Ints, padding: Pads) -> Any:
        return reduced(xp.maximum, _lowest(x.dtype), x, window, strides, padding)

    def window_sum(x: Any, window: Ints, strides: Ints, padding: Pads) -> Any:
        return reduced(xp.add, 0, x, window, strides, padding)

    def first_maxima(
        x: Any, window: Ints, strides: Ints, padding: Pads
    ) -> Iterator[tuple[Slices, Slices, Any]]:
        """For each tap its source, its target, and at which of these positions it is the first
        maximum."""
        if x.dtype in LOW_PRECISION:
            x = x.astype(float32)
        greatest = window_max(x, window, strides, padding)
        open_ = xp.ones(greatest.shape, bool)
        has_nan = x.dtype.kind not in "biu" and (not look or bool(xp.isnan(greatest).any()))
        space = x.shape[1:-1]
        for _, source, target in taps(space, window, strides, padding, (1,) * len(window)):
            value, still = x[source], open_[target]
            first = value == greatest[target]
            if has_nan:
                # Where the maximum is NaN, it is the first NaN.
                first |= value != value
            first &= still
            still ^= first
            yield source, target, first

    def kept(values: Any, mask: Any, out: Any) -> None:
        """Writes the values where the mask holds and zeros elsewhere; it may be in place."""
        bits = _BITS.get(values.dtype.itemsize)
        if bits is None:
            out[...] = xp.where(mask, values, xp.zeros((), values.dtype))
            return
        # All bits or none. Much faster than a choice, and unlike a product right for infinities.
        ones = xp.negative(mask.view("int8")).astype(bits, copy=False)
        xp.bitwise_and(values.view(bits), ones, out=out.view(bits))

    def window_pick(x: Any, t: Any, window: Ints, strides: Ints, padding: Pads) -> Any:
        out_space = _positions(x.shape[1:-1], window, strides, padding)
        out = xp.zeros((x.shape[0], *out_space, x.shape[-1]), t.dtype)
        bits = _BITS.get(t.dtype.itemsize)
        for batch in blocks(x):
            block, into = t[batch], out[batch]
            for source, target, first in first_maxima(x[batch], window, strides, padding):
                picked = xp.empty(first.shape, t.dtype)
                kept(block[source], first, picked)
                if bits is None:
                    into[target] += picked
                else:
                    # Only one tap contributes to each, whatever its bits.
                    part = into[target].view(bits)
                    part |= picked.view(bits)
        return out

    def summed(shape: Ints, g: Any, add: Callable[[Any, Any, slice], None]) -> Any:
        """Zeros of g's dtype to which `add(into, g, batch)` adds, in float32 if that is narrow."""
        dtype = g.dtype
        narrow = dtype in LOW_PRECISION
        out = xp.zeros(shape, float32 if narrow else dtype)
        for batch in blocks(out):
            block = g[batch]
            add(out[batch], block.astype(float32) if narrow else block, batch)
        return out.astype(dtype) if narrow else out

    def window_unpick(x: Any, g: Any, window: Ints, strides: Ints, padding: Pads) -> Any:
        apart = all(s >= k for s, k in zip(strides, window, strict=True))

        def add(into: Any, block: Any, batch: slice) -> None:
            for source, target, first in first_maxima(x[batch], window, strides, padding):
                if apart:
                    kept(block[target], first, into[source])
                else:
                    chosen = xp.empty(first.shape, block.dtype)
                    kept(block[target], first, chosen)
                    into[source] += chosen

        return summed(x.shape, g, add)

    def window_spread(g: Any, space: Ints, window: Ints, strides: Ints, padding: Pads) -> Any:
        def add(into: Any, block: Any, batch: slice) -> None:
            # The last dimension first, while there is little of the others.
            for axis in range(len(window), 0, -1):
                size = space[axis - 1]
                how = (window[axis - 1], strides[axis - 1], padding[axis - 1])
                if axis == 1:
                    wider = into
                else:
                    shape = (*block.shape[:axis], size, *block.shape[axis + 1 :])
                    wider = xp.zeros(shape, block.dtype)
                for source, target, _ in _axis_taps(axis, size, *how):
                    wider[source] += block[target]
                block = wider

        return summed((g.shape[0], *space, g.shape[-1]), g, add)

    return {
        "window_max": Kernel(window_max),
        "window_pick": Kernel(window_pick),
        "window_unpick": Kernel(window_unpick),
        "window_sum": Kernel(window_sum),
        "window_spread": Kernel(window_spread),
    }
