"""The shared window and convolution kernels, with a ufunc buffer that suits strided slices.

Over slices that are not contiguous, a ufunc's iterator gathers rows into its buffer before it
computes. A row at least as long as the buffer is spared that. With NumPy's default of 8,192
elements hardly any row is; with 2,048 depthwise convolution and spreading windows take about two
thirds of the time.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import numpy as np

from kbackend.engine.array_module import conv, window
from kbackend.engine.interface import Kernel, KernelFn

_BUFFER = 2048


def _short_buffer(fn: KernelFn) -> KernelFn:
    @wraps(fn)
    def kernel(*args: Any, **params: Any) -> Any:
        before = np.setbufsize(_BUFFER)
        try:
            return fn(*args, **params)
        finally:
            np.setbufsize(before)

    return kernel


KERNELS: dict[str, Kernel] = {
    name: Kernel(_short_buffer(kernel.fn), kernel.dtypes)
    for family in (conv, window)
    for name, kernel in family.kernels(np).items()
}
