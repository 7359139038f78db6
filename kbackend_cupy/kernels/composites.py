"""Composites that have kernels of their own in programs, as they are called one by one."""

from __future__ import annotations

from typing import Any

from kbackend.engine.interface import Kernel
from kbackend.engine.program import Ints
from kbackend_cupy.codegen.moments import DTYPES


def composites(cp: Any) -> dict[str, Kernel]:
    """Composite -> kernel.

    Args:
        cp: the module `cupy`.
    """

    def moments(x: Any, *, axes: Ints) -> tuple[Any, Any]:
        mean = cp.mean(x, axes, keepdims=True)
        apart = x - mean
        return mean, cp.mean(apart * apart, axes, keepdims=True)

    return {"moments": Kernel(moments, DTYPES)}
