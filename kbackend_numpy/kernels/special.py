"""The error function and its inverse, block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kbackend.engine.array_module import special
from kbackend.engine.interface import Kernel

Array = np.ndarray[Any, Any]

# A block and its temporaries stay in the second level cache through all the passes.
_BLOCK_BYTES = 1 << 17


def _blocked(single: Callable[..., Array], double: Callable[..., Array]) -> Kernel:
    def kernel(x: Array) -> Array:
        out = np.empty(x.shape, x.dtype)
        fn = double if x.dtype == np.float64 else single
        work = np.float64 if x.dtype == np.float64 else np.float32
        flat, into = x.reshape(-1), out.reshape(-1)
        step = _BLOCK_BYTES // np.dtype(work).itemsize
        for start in range(0, flat.size, step):
            part = flat[start : start + step].astype(work, copy=False)
            # Low precision floats round here, once.
            into[start : start + step] = fn(np, part)
        return out

    return Kernel(kernel)


KERNELS: dict[str, Kernel] = {
    "erf": _blocked(special.erf_single, special.erf_double),
    "erfinv": _blocked(special.erfinv_single, special.erfinv_double),
}
