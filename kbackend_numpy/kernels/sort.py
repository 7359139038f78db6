"""Top-k without a full sort, and sorting in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.array_module.reduce import NARROW
from kbackend.engine.array_module.sort import kernels
from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec

Array = np.ndarray[Any, Any]

_SHARED = kernels(np)
_by_sorting = _SHARED["top_k"].fn


def top_k(x: Array, k: int) -> tuple[Array, Array]:
    size = x.shape[-1]
    low = x.dtype.kind in "fV" and x.dtype.itemsize < 4
    if k == 0 or 4 * k > size or size < 32 or low or not x.size:
        return _by_sorting(x, k=k)  # type: ignore[no-any-return]
    if k == 1:
        places = x.argmax(axis=-1)[..., None]
        return np.take_along_axis(x, places, axis=-1), places.astype(np.int32)
    places = np.argpartition(x, size - k, axis=-1)[..., size - k :]
    places.sort(axis=-1)
    values = np.take_along_axis(x, places, axis=-1)
    least = values.min(axis=-1, keepdims=True)
    # The partition keeps any of the elements that equal the least one. Where some were left out
    # (or NaN hides it), only a sort gives the lower positions precedence.
    if np.array_equal((x == least).sum(axis=-1), (values == least).sum(axis=-1)) and not (
        x.dtype.kind == "f" and np.isnan(least).any()
    ):
        found, order = _by_sorting(values, k=k)
        return found, np.take_along_axis(places, order, axis=-1).astype(np.int32)
    return _by_sorting(x, k=k)  # type: ignore[no-any-return]


def _prepare_sort(
    inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], axis: int
) -> Prepared | None:
    x = inputs[0]
    if numpy_dtype(x.dtype) in NARROW:
        return None

    def run(out: Array, x: Array) -> None:
        if not np.may_share_memory(out, x):
            np.copyto(out, x)
        out.sort(axis=axis)

    return Prepared(run, overwrites=((0, 0),) if x.contiguous else ())


KERNELS: dict[str, Kernel] = {
    "top_k": Kernel(top_k),
    "sort": Kernel(_SHARED["sort"].fn, prepare=_prepare_sort),
}
