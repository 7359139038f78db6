"""Compiled kernels that are called by themselves, outside of compiled programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from kbackend.base.dtypes import DTYPE_NAMES, numpy_dtype
from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numba.native import Prepare

# Bytes: where an array begins, so that no vector of it lies in two lines of the cache.
_ALIGNMENT = 64

Specs = tuple[Spec, ...]
# (specs of the inputs, **parameters) -> those of the outputs
Outputs = Callable[..., Specs]
_DTYPES = frozenset(("float32", "float64"))


def eager(prepare: Prepare, outputs: Outputs, reference: Kernel | None) -> Kernel:
    """A kernel that is called with arrays: the compiled one, where there is one.

    Args:
        prepare: prepares the compiled kernel.
        outputs: the specs of its results.
        reference: what is called in place of it where it declines. `None`: it never does for the
            dtypes that compiled kernels have; for others there is no kernel.
    """

    @lru_cache(maxsize=64)
    def found(specs: Specs, params: tuple[tuple[str, Any], ...]) -> tuple[Specs, Prepared] | None:
        made = outputs(specs, **dict(params))
        ready = prepare(specs, made, **dict(params))
        return None if ready is None else (made, ready)

    def fn(*arrays: Any, **params: Any) -> Any:
        arrays = tuple([np.ascontiguousarray(array) for array in arrays])
        specs = tuple([Spec(array.shape, DTYPE_NAMES[array.dtype]) for array in arrays])
        kernel = found(specs, tuple(params.items()))
        if kernel is None:
            return reference.fn(*arrays, **params)  # type: ignore[union-attr]
        made = [_new(spec) for spec in kernel[0]]
        kernel[1].run(*made, *arrays, *map(_new, kernel[1].scratch))
        return tuple(made)

    return Kernel(fn, _DTYPES) if reference is None else replace(reference, fn=fn)


def _new(spec: Spec) -> Any:
    """Memory for an array."""
    dtype = numpy_dtype(spec.dtype)
    raw = np.empty(spec.size * dtype.itemsize + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return np.ndarray(spec.shape, dtype, raw.data, start)


def with_eager(
    composites: Mapping[str, Kernel], prepare: Mapping[str, Prepare], outputs: Mapping[str, Outputs]
) -> dict[str, Kernel]:
    """Composites with compiled kernels in place of those that `outputs` names."""
    own = {name: eager(prepare[name], outputs[name], composites.get(name)) for name in outputs}
    return {**composites, **own}
