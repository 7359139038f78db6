"""Reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.interface import Kernel

# Floats narrower than 32 bits lose too much when they accumulate in their own width.
NARROW = frozenset(map(numpy_dtype, ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")))
Axes = tuple[int, ...]


def kernels(xp: Any) -> dict[str, Kernel]:
    """Reduction kernels over the array module `xp`."""

    def accumulating(reduce: Callable[..., Any]) -> Callable[..., Any]:
        def kernel(x: Any, *, axes: Axes, keepdims: bool) -> Any:
            dtype = x.dtype
            if dtype in NARROW:
                return reduce(x.astype("float32"), axis=axes, keepdims=keepdims).astype(dtype)
            if dtype.kind == "b":
                return reduce(x, axis=axes, keepdims=keepdims).astype(dtype)
            return reduce(x, axis=axes, dtype=dtype, keepdims=keepdims)

        return kernel

    def extreme(reduce: Callable[..., Any]) -> Callable[..., Any]:
        def kernel(x: Any, *, axes: Axes, keepdims: bool) -> Any:
            return reduce(x, axis=axes, keepdims=keepdims)

        return kernel

    def position(find: Callable[..., Any]) -> Callable[..., Any]:
        def kernel(x: Any, *, axis: int) -> Any:
            return find(x, axis=axis).astype("int32")

        return kernel

    return {
        "reduce_sum": Kernel(accumulating(xp.sum)),
        "reduce_prod": Kernel(accumulating(xp.prod)),
        "reduce_max": Kernel(extreme(xp.max)),
        "reduce_min": Kernel(extreme(xp.min)),
        "argmax": Kernel(position(xp.argmax)),
        "argmin": Kernel(position(xp.argmin)),
    }
