"""Windows: the shared kernels, with a ufunc buffer that suits strided slices, and prepared ones."""

from __future__ import annotations

import numpy as np

from kbackend.engine.array_module import window
from kbackend.engine.interface import Kernel, Prepare
from kbackend_numpy.kernels import pooling
from kbackend_numpy.kernels.buffering import short_buffer

_PREPARE: dict[str, Prepare] = {
    "window_max": pooling.prepare_window_max,
    "window_pick": pooling.prepare_window_pick,
    "window_unpick": pooling.prepare_window_unpick,
    "window_sum": pooling.prepare_window_sum,
    "window_spread": pooling.prepare_window_spread,
}

KERNELS: dict[str, Kernel] = {
    name: Kernel(short_buffer(kernel.fn), kernel.dtypes, _PREPARE[name])
    for name, kernel in window.kernels(np).items()
}
