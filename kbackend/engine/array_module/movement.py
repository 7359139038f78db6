"""Movement and creation: the same elements in another order, place or number."""

from __future__ import annotations

from typing import Any

from kbackend.base import dtypes
from kbackend.engine.interface import Kernel, KernelFn

Ints = tuple[int, ...]


def kernels(xp: Any) -> dict[str, Kernel]:
    """Movement and creation kernels over the array module `xp`."""

    def reshape(x: Any, *, shape: Ints) -> Any:
        return x.reshape(shape)

    def transpose(x: Any, *, axes: Ints) -> Any:
        return x.transpose(axes)

    def broadcast_to(x: Any, *, shape: Ints) -> Any:
        return xp.broadcast_to(x, shape)

    def pad(x: Any, value: Any, *, widths: tuple[Ints, ...]) -> Any:
        shape = tuple(
            low + n + max(n - 1, 0) * gap + high
            for n, (low, high, gap) in zip(x.shape, widths, strict=True)
        )
        out = xp.empty(shape, dtype=x.dtype)
        out[...] = value
        places = tuple(
            slice(low, low + n + max(n - 1, 0) * gap, gap + 1)
            for n, (low, _, gap) in zip(x.shape, widths, strict=True)
        )
        out[places] = x
        return out

    def slice_(x: Any, *, starts: Ints, stops: Ints, steps: Ints) -> Any:
        return x[tuple(map(slice, starts, stops, steps))]

    def rev(x: Any, *, axes: Ints) -> Any:
        return x[tuple(slice(None, None, -1 if i in axes else 1) for i in range(x.ndim))]

    def concatenate(*xs: Any, axis: int) -> Any:
        return xp.concatenate(xs, axis=axis)

    def _window(x: Any, starts: Any, sizes: Ints) -> tuple[slice, ...]:
        # A block that would stick out is moved inside, so that its size is always the asked one.
        firsts = [
            min(max(int(start), 0), n - size)
            for start, n, size in zip(starts, x.shape, sizes, strict=True)
        ]
        return tuple(slice(a, a + size) for a, size in zip(firsts, sizes, strict=True))

    def dynamic_slice(x: Any, starts: Any, *, sizes: Ints) -> Any:
        return x[_window(x, starts, sizes)]

    def dynamic_update_slice(x: Any, update: Any, starts: Any) -> Any:
        out = x.copy()
        out[_window(x, starts, update.shape)] = update
        return out

    def full(*, shape: Ints, value: Any, dtype: str) -> Any:
        if value.__class__ is int and not value:
            # Memory that is zero already is not touched until it is read.
            return xp.zeros(shape, dtype=dtypes.numpy_dtype(dtype))
        return xp.full(shape, value, dtype=dtypes.numpy_dtype(dtype))

    def iota(*, shape: Ints, axis: int, dtype: str) -> Any:
        line = xp.arange(shape[axis]).astype(dtypes.numpy_dtype(dtype))
        return xp.broadcast_to(
            line.reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape
        )

    own: dict[str, KernelFn] = {
        "reshape": reshape, "transpose": transpose, "broadcast_to": broadcast_to, "pad": pad,
        "slice": slice_, "rev": rev, "concatenate": concatenate, "dynamic_slice": dynamic_slice,
        "dynamic_update_slice": dynamic_update_slice, "full": full, "iota": iota,
    }  # fmt: skip
    return {name: Kernel(fn) for name, fn in own.items()}
