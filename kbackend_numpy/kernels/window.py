"""The shared window kernels, with a ufunc buffer that suits strided slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kbackend.engine.array_module import window
from kbackend.engine.interface import Kernel
from kbackend_numpy.kernels.buffering import short_buffer

KERNELS: dict[str, Kernel] = {
    name: replace(kernel, fn=short_buffer(kernel.fn)) for name, kernel in window.kernels(np).items()
}
