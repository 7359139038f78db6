"""Reductions: bfloat16 by way of float32, and nothing to do where no axis is reduced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbackend.engine.array_module import reduce
from kbackend.engine.interface import Kernel
from kbackend_cupy.dtypes import BFLOAT16

Ints = tuple[int, ...]


def kernels(cp: Any) -> dict[str, Kernel]:
    """The kernels of this family on `cupy`."""
    shared = {name: kernel.fn for name, kernel in reduce.kernels(cp).items()}

    def over_axes(name: str) -> Callable[..., Any]:
        fn = shared[name]

        def kernel(x: Any, *, axes: Ints, keepdims: bool) -> Any:
            return fn(x, axes=axes, keepdims=keepdims) if axes else x

        return kernel

    def extreme(name: str) -> Callable[..., Any]:
        fn = over_axes(name)

        def kernel(x: Any, *, axes: Ints, keepdims: bool) -> Any:
            if x.dtype == BFLOAT16:
                wide = fn(x.astype("float32"), axes=axes, keepdims=keepdims)
                return wide.astype(BFLOAT16)
            return fn(x, axes=axes, keepdims=keepdims)

        return kernel

    def position(name: str) -> Callable[..., Any]:
        fn = shared[name]

        def kernel(x: Any, *, axis: int) -> Any:
            return fn(x.astype("float32") if x.dtype == BFLOAT16 else x, axis=axis)

        return kernel

    return {
        "reduce_sum": Kernel(over_axes("reduce_sum")),
        "reduce_prod": Kernel(over_axes("reduce_prod")),
        "reduce_max": Kernel(extreme("reduce_max")),
        "reduce_min": Kernel(extreme("reduce_min")),
        "argmax": Kernel(position("argmax")),
        "argmin": Kernel(position("argmin")),
    }
