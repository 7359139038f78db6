"""Gathering, written once for NumPy and CuPy. Scattering differs by engine."""

from __future__ import annotations

from typing import Any

from kbackend.engine.interface import Kernel


def kernels(xp: Any) -> dict[str, Kernel]:
    """The kernels of the family for the array module `xp`."""

    def gather(x: Any, *indices: Any, axes: tuple[int, ...]) -> Any:
        if axes == (0,):
            return xp.asarray(xp.take(x, indices[0], axis=0))
        rest = [i for i in range(x.ndim) if i not in axes]
        return xp.asarray(x.transpose(*axes, *rest)[indices])

    return {"gather": Kernel(gather)}
