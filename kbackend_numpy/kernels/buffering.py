"""A ufunc buffer that suits strided slices.

Over slices that are not contiguous, a ufunc's iterator gathers rows into its buffer before it
computes. A row at least as long as the buffer is spared that. With NumPy's default of 8,192
elements hardly any row is; with 2,048 depthwise convolution and spreading windows take about two
thirds of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

_SHORT = 2048
# NumPy's own, unless somebody sets another.
BUFFER = 8192


def short_buffer(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` with the short buffer."""

    @wraps(fn)
    def kernel(*args: Any, **params: Any) -> Any:
        before = np.setbufsize(_SHORT)
        try:
            return fn(*args, **params)
        finally:
            np.setbufsize(before)

    return kernel
