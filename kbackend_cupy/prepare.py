"""Which steps have kernels that write into planned memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kbackend.engine.program import REDUCTIONS, Node, Prepared, Region, Spec
from kbackend_cupy.blas import Blas
from kbackend_cupy.codegen import operations, region
from kbackend_cupy.launches import prepared
from kbackend_cupy.modules import Modules

Params = Mapping[str, Any]


class Preparer:
    """Makes prepared kernels.

    Args:
        cp: the module `cupy`.
    """

    def __init__(self, cp: Any) -> None:
        self._modules, self._blas = Modules(cp), Blas(cp)

    def __call__(
        self, name: str, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], params: Params
    ) -> Prepared | None:
        """The kernel of a step, or `None` where there is only the general one."""
        if name == "dot":
            return self._blas.prepare(inputs, outputs, **params)
        one = params["region"] if name == "region" else _region(name, inputs, outputs, params)
        plan = None if one is None else region.plan(one, inputs)
        return None if plan is None else prepared(plan, self._modules)


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
