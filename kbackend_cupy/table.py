"""The table of kernels: the shared array-module families, then CuPy's own in their place."""

from __future__ import annotations

from typing import Any

from kbackend.engine.array_module import (
    contract,
    conv,
    elementwise,
    movement,
    scan,
    sort,
    window,
)
from kbackend.engine.interface import Kernel
from kbackend_cupy.kernels import elementwise as own_elementwise
from kbackend_cupy.kernels import indexing as own_indexing
from kbackend_cupy.kernels import linalg as own_linalg
from kbackend_cupy.kernels import movement as own_movement
from kbackend_cupy.kernels import random as own_random
from kbackend_cupy.kernels import reduce as own_reduce

# Scratch memory of one convolution or window. No cache holds a whole block here: few large
# launches count, within what a small device can spare.
BLOCK_BYTES = 256 << 20


def table(cp: Any, cpx: Any) -> dict[str, Kernel]:
    """All kernels of the CuPy engine.

    Args:
        cp: the module `cupy`.
        cpx: the module `cupyx`.
    """
    merged: dict[str, Kernel] = {}
    for family in (elementwise, movement, contract, scan, sort):
        merged |= family.kernels(cp)
    merged |= conv.kernels(cp, block_bytes=BLOCK_BYTES)
    merged |= window.kernels(cp, block_bytes=BLOCK_BYTES, look=False)
    for own in (own_elementwise, own_indexing, own_movement, own_reduce, own_random):
        merged |= own.kernels(cp)
    return merged | own_linalg.kernels(cp, cpx)
