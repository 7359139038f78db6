"""Running sums and products, written once for NumPy and CuPy."""

from __future__ import annotations

from typing import Any

from kbackend.base.dtypes import itemsize, name_of
from kbackend.engine.interface import Kernel


def kernels(xp: Any) -> dict[str, Kernel]:
    """The kernels of the family for the array module `xp`."""

    def scan(run: Any, x: Any, axis: int, reverse: bool) -> Any:
        dtype = x.dtype
        if dtype.kind in "fV" and itemsize(name_of(dtype)) < 4:
            # Low precision accumulates in float32 and rounds once.
            x = x.astype(xp.float32)
        if reverse:
            x = xp.flip(x, axis)
        # Without a dtype NumPy widens small integers.
        out = run(x, axis=axis, dtype=x.dtype)
        if reverse:
            out = xp.flip(out, axis)
        return out if out.dtype == dtype else out.astype(dtype)

    def cumsum(x: Any, axis: int, reverse: bool) -> Any:
        return scan(xp.cumsum, x, axis, reverse)

    def cumprod(x: Any, axis: int, reverse: bool) -> Any:
        return scan(xp.cumprod, x, axis, reverse)

    return {"cumsum": Kernel(cumsum), "cumprod": Kernel(cumprod)}
