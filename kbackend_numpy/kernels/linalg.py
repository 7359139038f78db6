"""Factorizations: small ones on one thread; failures that NumPy reports tersely, with the mend."""

from __future__ import annotations

from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np

from kbackend.engine.array_module.linalg import kernels
from kbackend.engine.array_module.linalg_failures import explained
from kbackend.engine.interface import Kernel, KernelFn
from kbackend_numpy import threads

# Elements of a matrix. LAPACK hands many small products to BLAS, whose threads meet after each of
# them; on a busy machine that made a 512 by 128 QR take 10 to 40 times longer than on one thread.
_SMALL = 1 << 18


def _on_one_thread(fn: KernelFn) -> KernelFn:
    """The kernel, with BLAS on the calling thread where the matrices are small."""

    @wraps(fn)
    def kernel(x: Any, *args: Any, **params: Any) -> Any:
        if x.size > _SMALL:
            return fn(x, *args, **params)
        with threads.owned():
            return fn(x, *args, **params)

    return kernel


KERNELS: dict[str, Kernel] = {
    name: replace(kernel, fn=_on_one_thread(kernel.fn))
    for name, kernel in explained(kernels(np)).items()
}
