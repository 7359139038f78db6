"""What a factorization that failed says: the reason and the mend, in place of a terse error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kbackend.engine.interface import Kernel

_REASONS = {
    "cholesky": (
        "The matrix is not positive definite (or not finite), so it has no Cholesky factor. Check "
        "that it is symmetric, or add a small multiple of the identity."
    ),
    "triangular_solve": (
        "The triangular matrix is singular: its diagonal holds a zero. Use lstsq for such systems."
    ),
    "svd": "The singular values did not converge. Check the input for NaN and infinities.",
    "eigh": "The eigenvalues did not converge. Check the input for NaN and infinities.",
    "eig": "The eigenvalues did not converge. Check the input for NaN and infinities.",
}


def _explained(name: str, fn: Callable[..., Any], reason: str) -> Callable[..., Any]:
    def kernel(*args: Any, **params: Any) -> Any:
        try:
            return fn(*args, **params)
        except np.linalg.LinAlgError:
            shape = args[0].shape
            raise np.linalg.LinAlgError(f"[{name}] {reason} Received: shape={shape}.") from None

    return kernel


def explained(kernels: Mapping[str, Kernel]) -> dict[str, Kernel]:
    """The same kernels, with errors that say what is wrong and how to mend it.

    Args:
        kernels: kernels of factorizations that raise `numpy.linalg.LinAlgError`.
    """
    return {
        name: Kernel(_explained(name, kernel.fn, _REASONS[name]), kernel.dtypes)
        if name in _REASONS
        else kernel
        for name, kernel in kernels.items()
    }
