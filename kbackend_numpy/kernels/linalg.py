"""Factorizations whose failures NumPy reports tersely, with the reason and the mend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kbackend.engine.array_module.linalg import kernels
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


def _explained(name: str, fn: Callable[..., Any], reason: str) -> Kernel:
    def kernel(*args: Any, **params: Any) -> Any:
        try:
            return fn(*args, **params)
        except np.linalg.LinAlgError:
            shape = args[0].shape
            raise np.linalg.LinAlgError(f"[{name}] {reason} Received: shape={shape}.") from None

    return Kernel(kernel)


_SHARED = kernels(np)

KERNELS: dict[str, Kernel] = {
    name: _explained(name, _SHARED[name].fn, reason) for name, reason in _REASONS.items()
}
