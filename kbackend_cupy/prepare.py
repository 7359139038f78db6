"""Which steps have kernels that write into planned memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kbackend.engine.program import REDUCTIONS, Node, Prepared, Region, Spec
from kbackend_cupy import pointwise, scan
from kbackend_cupy.blas import Blas
from kbackend_cupy.codegen import (
    attention,
    contract,
    convolution,
    indexing,
    moments,
    movement,
    operations,
    random,
    recurrent,
    region,
    windows,
)
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.codegen.scalar import TYPES
from kbackend_cupy.cudnn.convolution import Cudnn
from kbackend_cupy.launches import prepared
from kbackend_cupy.modules import Modules

Params = Mapping[str, Any]

# Primitive -> what plans its launches.
PREPARE: dict[str, Callable[..., Plan | None]] = {
    **attention.PREPARE,
    **contract.PREPARE,
    **convolution.PREPARE,
    **indexing.PREPARE,
    **moments.PREPARE,
    **movement.PREPARE,
    **random.PREPARE,
    **recurrent.PREPARE,
    **windows.PREPARE,
}


class Preparer:
    """Makes prepared kernels.

    Args:
        cp: the module `cupy`.

    Attributes:
        modules: the kernels that it has made.
    """

    def __init__(self, cp: Any) -> None:
        self._cp, self._blas = cp, Blas(cp)
        self.modules = Modules(cp)
        self._cudnn = Cudnn(cp, self.modules, self._blas)

    def __call__(
        self, name: str, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], params: Params
    ) -> Prepared | None:
        """The kernel of a step, or `None` where there is only the general one."""
        if name == "dot":
            found = self._blas.prepare(inputs, outputs, **params)
            if found is not None:
                return found
        found = self._cudnn.prepare(name, inputs, outputs, params)
        found = found or pointwise.prepare(self._blas, name, inputs, outputs, params)
        if found is not None:
            return found
        if name == "scan":
            return scan.prepare(self._cp, inputs, outputs, params)
        if any(spec.dtype not in TYPES for spec in (*inputs, *outputs)):
            return None
        if name in PREPARE:
            made = PREPARE[name](inputs, outputs, **params)
            return None if made is None else prepared(made, self.modules)
        one = params["region"] if name == "region" else _region(name, inputs, outputs, params)
        plan = None if one is None else region.plan(one, inputs)
        return None if plan is None else prepared(plan, self.modules)


def _region(
    name: str, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], params: Params
) -> Region | None:
    """A single operation as a region, if it is one that regions can hold."""
    if name not in operations.NAMES and name not in REDUCTIONS:
        return None
    node = Node(name, tuple(range(len(inputs))), params, outputs[0])
    if name in REDUCTIONS:
        return Region(inputs, (node,), (len(inputs),), inputs[0].shape, axes=params["axes"])
    return Region(inputs, (node,), (len(inputs),), outputs[0].shape)
