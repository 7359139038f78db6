"""Elementwise kernels: a choice that keeps bfloat16, and CUDA's own erf and erfinv."""

from __future__ import annotations

from typing import Any

from kbackend.base import dtypes
from kbackend.engine.array_module import elementwise
from kbackend.engine.interface import Kernel
from kbackend_cupy.dtypes import BFLOAT16, require


def kernels(cp: Any) -> dict[str, Kernel]:
    """The kernels of this family on `cupy`."""
    shared = elementwise.kernels(cp)
    # Compiled at the first call, once per dtype.
    cuda_erf = cp.ElementwiseKernel("T x", "T y", "y = erf(x)", "kbackend_erf")
    cuda_erfinv = cp.ElementwiseKernel("T x", "T y", "y = erfinv(x)", "kbackend_erfinv")

    def select(condition: Any, x: Any, y: Any) -> Any:
        if x.dtype == BFLOAT16:
            # cupy.where answers with float32; bits have no such trouble.
            return cp.where(condition, x.view("int16"), y.view("int16")).view(BFLOAT16)
        return cp.where(condition, x, y)

    def cast(x: Any, *, dtype: str) -> Any:
        return shared["cast"].fn(x, dtype=require(dtype))

    def bitcast(x: Any, *, dtype: str) -> Any:
        return shared["bitcast"].fn(x, dtype=require(dtype))

    def wide(cuda: Any) -> Any:
        def kernel(x: Any) -> Any:
            if dtypes.itemsize(dtypes.name_of(x.dtype)) < 4:
                return cuda(x.astype("float32")).astype(x.dtype)
            return cuda(x)

        return kernel

    return {
        "select": Kernel(select),
        "cast": Kernel(cast),
        "bitcast": Kernel(bitcast),
        "erf": Kernel(wide(cuda_erf)),
        "erfinv": Kernel(wide(cuda_erfinv)),
    }
