"""Running sums and products into memory that is there already."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.array_module.reduce import NARROW
from kbackend.engine.array_module.scan import kernels
from kbackend.engine.interface import Kernel, Prepare
from kbackend.engine.program import Prepared, Spec

Array = Any
Specs = tuple[Spec, ...]


def _running(ufunc: Any) -> Prepare:
    def prepare(inputs: Specs, outputs: Specs, axis: int, reverse: bool) -> Prepared | None:
        x = inputs[0]
        dtype = numpy_dtype(x.dtype)
        # Low precision accumulates in float32.
        if dtype in NARROW:
            return None
        turned = tuple(
            [
                slice(None, None, -1 if reverse and i == axis % len(x.shape) else None)
                for i in range(len(x.shape))
            ]
        )

        def run(out: Array, x: Array) -> None:
            ufunc.accumulate(x[turned], axis=axis, dtype=dtype, out=out[turned])

        return Prepared(run)

    return prepare


_SHARED = kernels(np)
KERNELS: dict[str, Kernel] = {
    "cumsum": Kernel(_SHARED["cumsum"].fn, prepare=_running(np.add)),
    "cumprod": Kernel(_SHARED["cumprod"].fn, prepare=_running(np.multiply)),
}
