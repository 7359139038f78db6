"""Factorizations that report failure: CuPy's fill their result with NaN unless told to raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbackend.engine.array_module import linalg
from kbackend.engine.array_module.linalg_failures import explained
from kbackend.engine.interface import Kernel


def kernels(cp: Any, cpx: Any) -> dict[str, Kernel]:
    """The kernels of this family on `cupy` and `cupyx`."""

    def raising(fn: Callable[..., Any]) -> Callable[..., Any]:
        def kernel(*args: Any, **params: Any) -> Any:
            with cpx.errstate(linalg="raise"):
                return fn(*args, **params)

        return kernel

    shared = linalg.kernels(cp)
    return explained({name: Kernel(raising(shared[name].fn)) for name in shared})
