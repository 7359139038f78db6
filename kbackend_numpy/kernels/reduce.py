"""Reductions by the ufuncs' own `reduce`, without the wrappers around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kbackend.engine.array_module.reduce import NARROW
from kbackend.engine.interface import Kernel


def _accumulating(ufunc: Any) -> Callable[..., Any]:
    reduce = ufunc.reduce

    def kernel(x: Any, *, axes: tuple[int, ...], keepdims: bool) -> Any:
        dtype = x.dtype
        if dtype in NARROW:
            return reduce(x, axis=axes, dtype="float32", keepdims=keepdims).astype(dtype)
        return reduce(x, axis=axes, dtype=dtype, keepdims=keepdims)

    return kernel


def _extreme(ufunc: Any) -> Callable[..., Any]:
    reduce = ufunc.reduce

    def kernel(x: Any, *, axes: tuple[int, ...], keepdims: bool) -> Any:
        return reduce(x, axis=axes, keepdims=keepdims)

    return kernel


KERNELS: dict[str, Kernel] = {
    "reduce_sum": Kernel(_accumulating(np.add)),
    "reduce_prod": Kernel(_accumulating(np.multiply)),
    "reduce_max": Kernel(_extreme(np.maximum)),
    "reduce_min": Kernel(_extreme(np.minimum)),
}
