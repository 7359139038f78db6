"""Convolutions whose windows are single places: matrix products, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from kbackend.engine.program import Prepared, Spec
from kbackend_cupy.blas import Blas

# Primitive -> which dimensions of its arguments, taken as matrices, are added up.
_CONTRACT = {
    "conv": ((1,), (0,)),
    "conv_input_grad": ((1,), (1,)),
    "conv_filter_grad": ((0,), (0,)),
}


def prepare(
    blas: Blas,
    name: str,
    inputs: tuple[Spec, ...],
    outputs: tuple[Spec, ...],
    params: Mapping[str, Any],
) -> Prepared | None:
    """A convolution as a product by cuBLAS, or `None` if it is none.

    Args:
        blas: cuBLAS.
        name: the primitive.
        inputs: specs of its arguments.
        outputs: spec of its result.
        params: its parameters.
    """
    if name not in _CONTRACT or params["groups"] != 1 or any(map(any, params["padding"])):
        return None
    window = params["window"] if name == "conv_filter_grad" else inputs[1].shape[:-2]
    if prod(window) != 1 or prod(params["strides"]) != 1:
        return None
    if not all(spec.contiguous for spec in inputs):
        return None
    x, y, out = (_matrix(spec) for spec in (*inputs, *outputs))
    return blas.prepare((x, y), (out,), contract=_CONTRACT[name], batch=((), ()))


def _matrix(spec: Spec) -> Spec:
    """An array as rows of its last dimension."""
    return Spec((prod(spec.shape[:-1]), spec.shape[-1]), spec.dtype)
