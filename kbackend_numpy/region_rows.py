"""Regions that broadcast short rows, such as biases: their rows joined to long ones.

Where a ufunc broadcasts along rows shorter than its buffer, NumPy gathers them into that buffer
first, which takes as long as the operation itself. A row that is repeated until it is as long as
the buffer is spared that. Results are the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import numpy as np

from kbackend.engine.program import Ints, Prepared, Region, Spec
from kbackend.engine.strides import broadcast_strides, merge, merged_shape
from kbackend_numpy.kernels.buffering import BUFFER

# With fewer joined rows, what is spared is no more than what it takes to repeat a row.
_FEWEST = 32


class _Widened(NamedTuple):
    """A region on joined rows.

    Attributes:
        region: the same operations on a matrix.
        repeated: position of an input that is a row -> its length.
    """

    region: Region
    repeated: dict[int, int]


def widened(region: Region, prepare: Callable[[Region], Prepared | None]) -> Prepared | None:
    """A kernel that works on joined rows, or `None` where there are none to join.

    Args:
        region: what to compute; the specs of its inputs have their strides.
        prepare: makes the kernel of the region on joined rows.
    """
    found = _widen(region)
    ready = found and prepare(found.region)
    if not found or ready is None:
        return None
    wide, repeated = found
    outs, ins, inner = len(wide.outputs), len(wide.inputs), ready.run
    shapes = [wide.shape] * outs
    shapes += [
        (repeated[i],) if i in repeated else spec.shape for i, spec in enumerate(wide.inputs)
    ]
    places = [(outs + i, length) for i, length in repeated.items()]
    taken = len(ready.scratch)

    def run(*arrays: Any) -> None:
        whole = [a.reshape(s) for a, s in zip(arrays, shapes, strict=False)]
        rest = arrays[outs + ins :]
        for (i, length), row in zip(places, rest[taken:], strict=True):
            np.copyto(row.reshape(-1, length), whole[i])
            whole[i] = row
        inner(*whole, *rest[:taken])

    rows = [wide.inputs[i] for i in repeated]
    return Prepared(run, (*ready.scratch, *rows), ready.overwrites, ready.work)


def _widen(region: Region) -> _Widened | None:
    size = prod(region.shape)
    if region.axes or size < _FEWEST * BUFFER:
        return None
    if any(not spec.contiguous for spec in region.inputs):
        return None
    strides = [broadcast_strides(spec, region.shape) for spec in region.inputs]
    groups = merge(region.shape, strides)
    if len(groups) != 2:
        return None
    rank = len(region.shape)
    rows, length = merged_shape(region.shape, rank, groups)
    joined = _joined(rows, length)
    if joined is None:
        return None
    shape = (size // joined, joined)
    inputs, repeated = [], {}
    for i, spec in enumerate(region.inputs):
        own: Ints = merged_shape(spec.shape, rank, groups)
        if own == (rows, length):
            inputs.append(Spec(shape, spec.dtype))
        elif own == (1, length):
            inputs.append(Spec((1, joined), spec.dtype))
            repeated[i] = length
        elif own == (1, 1):
            inputs.append(Spec((), spec.dtype))
        else:
            return None
    nodes = [node._replace(spec=Spec(shape, node.spec.dtype)) for node in region.nodes]
    wide = replace(region, inputs=tuple(inputs), nodes=tuple(nodes), shape=shape)
    return _Widened(wide, repeated) if repeated else None


def _joined(rows: int, length: int) -> int | None:
    """The length of rows that are joined to at least a buffer's, if that comes out even."""
    if length >= BUFFER:
        return None
    while length < BUFFER:
        if rows % 2:
            return None
        rows, length = rows // 2, length * 2
    return length if rows >= _FEWEST else None
