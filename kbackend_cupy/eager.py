"""Composites that are called by themselves, outside of compiled programs."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from kbackend.base.dtypes import DTYPE_NAMES, numpy_dtype
from kbackend.engine.interface import Kernel
from kbackend.engine.program import Spec
from kbackend_cupy.codegen import attention, moments, recurrent
from kbackend_cupy.codegen.whole import Whole
from kbackend_cupy.launches import memory
from kbackend_cupy.memory import watched
from kbackend_cupy.prepare import Preparer

Specs = tuple[Spec, ...]


def composites(cp: Any, preparer: Preparer) -> dict[str, Kernel]:
    """The composites that are done in a few launches.

    Args:
        cp: the module `cupy`.
        preparer: plans them.
    """
    every = {**attention.COMPOSITES, **moments.COMPOSITES, **recurrent.COMPOSITES}
    return {name: _kernel(cp, preparer, name, whole) for name, whole in every.items()}


def _kernel(cp: Any, preparer: Preparer, name: str, whole: Whole) -> Kernel:
    @lru_cache(maxsize=64)
    def found(device: int, specs: Specs, params: tuple[tuple[str, Any], ...]) -> Any:
        # Launches are those of a device's modules.
        if not whole.takes(specs):
            return None
        made = whole.outputs(specs, **dict(params))
        return made, preparer(name, specs, made, dict(params))

    def fn(*arrays: Any, **params: Any) -> Any:
        device, how = cp.cuda.runtime.getDevice(), tuple(params.items())
        kernel = found(device, tuple(map(_spec, arrays)), how)
        if kernel is None:
            return NotImplemented
        outputs, ready = kernel
        if ready is None:
            # Elements lie farther apart than kernels reach.
            arrays = tuple(map(cp.ascontiguousarray, arrays))
            outputs, ready = found(device, tuple(map(_spec, arrays)), how)
        made = [_new(cp, spec) for spec in outputs]
        ready.run(*made, *arrays, *memory(cp, ready))
        return made[0] if whole.single else tuple(made)

    return Kernel(watched(cp, name, Kernel(fn)).fn, takes=whole.takes)


def _spec(array: Any) -> Spec:
    strides = None
    if not array.flags.c_contiguous:
        strides = tuple([step // array.itemsize for step in array.strides])
    return Spec(array.shape, DTYPE_NAMES[array.dtype], strides)


def _new(cp: Any, spec: Spec) -> Any:
    return cp.empty(spec.shape, numpy_dtype(spec.dtype))
