"""Sorting and searching, written once for NumPy and CuPy."""

from __future__ import annotations

from typing import Any

from kbackend.base.dtypes import itemsize, name_of
from kbackend.engine.interface import Kernel


def kernels(xp: Any) -> dict[str, Kernel]:
    """The kernels of the family for the array module `xp`."""

    def keys(x: Any) -> Any:
        """x itself or, for low precision floats, float32 in the same order."""
        low = x.dtype.kind in "fV" and itemsize(name_of(x.dtype)) < 4
        return x.astype(xp.float32) if low else x

    def sort(x: Any, axis: int) -> Any:
        ordered = xp.sort(keys(x), axis=axis)
        return ordered if ordered.dtype == x.dtype else ordered.astype(x.dtype)

    def argsort(x: Any, axis: int) -> Any:
        return xp.argsort(keys(x), axis=axis, kind="stable").astype(xp.int32)

    def searchsorted(sorted_: Any, values: Any, side: str) -> Any:
        return xp.asarray(xp.searchsorted(keys(sorted_), keys(values), side=side)).astype(xp.int32)

    def top_k(x: Any, k: int) -> tuple[Any, Any]:
        size = x.shape[-1]
        # Sorted from the far end, equal elements come out lower position first when read backwards.
        order = xp.argsort(keys(x)[..., ::-1], axis=-1, kind="stable")
        places = size - 1 - order[..., ::-1][..., :k]
        return xp.take_along_axis(x, places, axis=-1), places.astype(xp.int32)

    return {
        "sort": Kernel(sort),
        "argsort": Kernel(argsort),
        "searchsorted": Kernel(searchsorted),
        "top_k": Kernel(top_k),
    }
