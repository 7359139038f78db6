"""Which steps have compiled kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numba.eager import Outputs
from kbackend_numba.kernels import (
    argmax,
    attention,
    conv,
    crossentropy,
    dot,
    halves,
    indexing,
    movement,
    normalization,
    optimizer,
    pooling,
    random,
    recurrent,
    region,
    region_scattered,
    softmax,
)
from kbackend_numba.native import Prepare

# Primitive, composite or structured step -> what prepares its kernel. It may decline with `None`.
PREPARE: dict[str, Prepare] = {
    **region.PREPARE,
    **dot.PREPARE,
    **conv.PREPARE,
    **pooling.PREPARE,
    **normalization.PREPARE,
    **softmax.PREPARE,
    **crossentropy.PREPARE,
    **random.PREPARE,
    **argmax.PREPARE,
    **movement.PREPARE,
    **indexing.PREPARE,
    **optimizer.PREPARE,
    **recurrent.PREPARE,
    **attention.PREPARE,
}

# The same for those that can end with a region; see `kbackend.engine.program.Step`.
EPILOGUES: dict[str, Prepare] = {
    **dot.EPILOGUES,
    **conv.EPILOGUES,
    **pooling.EPILOGUES,
    **normalization.EPILOGUES,
}

# Composites that are called by their compiled kernels outside of programs, too -> the specs of
# their results.
OUTPUTS: dict[str, Outputs] = {**recurrent.OUTPUTS, **attention.OUTPUTS}

# Kernels of composites that NumPy has none for, for where the compiled ones decline.
COMPOSITES: dict[str, Kernel] = {**attention.COMPOSITES, **optimizer.COMPOSITES}


def _epilogue(
    inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], *, op: str, **params: Any
) -> Prepared | None:
    make = EPILOGUES.get(op)
    return None if make is None else make(inputs, outputs, **params)


PREPARE["epilogue"] = _epilogue
PREPARE["scattered"] = region_scattered.prepare


def prepare(
    name: str, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], params: Mapping[str, Any]
) -> Prepared | None:
    """The compiled kernel of a step; see `Engine.prepare`."""
    make = PREPARE.get(name)
    if make is None:
        return None
    return make(inputs, outputs, **params) or halves.prepare(name, make, inputs, outputs, params)
