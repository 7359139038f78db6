"""Regions with reductions, block by block.

Blocks are cut along the first dimension. Where that is kept, each block has results of its own;
where it is reduced, the blocks' results are kept aside and combined at the end. How blocks are cut
depends on shapes alone, so that no result depends on the number of threads.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.array_module.reduce import NARROW
from kbackend.engine.program import Ints, Node, Prepared, Region, Spec, trailing
from kbackend.engine.strides import broadcast_strides, merge, merged_shape, merged_strides
from kbackend_numpy import threads
from kbackend_numpy.kernels.reduce import KERNELS
from kbackend_numpy.region_calls import run_calls, write

# A row with more elements than this stays in no cache that a block could be for.
LONG = 1 << 19
# Blocks come in pairs, for two threads to have as many each.
_EVEN = 2


def takes(x: Spec, axes: Ints) -> bool:
    """Whether a region may hold a reduction of `x`: it has calls, and rows are not too long."""
    # Low precision accumulates in another dtype, and there is no greatest of nothing.
    if not x.size or numpy_dtype(x.dtype) in NARROW:
        return False
    return not trailing(axes, len(x.shape)) or prod(x.shape[i] for i in axes) <= LONG


class _Merged(NamedTuple):
    """The domain with dimensions merged wherever every value can be read like that.

    Attributes:
        groups: the ranges that are merged.
        shape: the dimensions that they become.
        axes: those that are reduced.
    """

    groups: list[tuple[int, int]]
    shape: Ints
    axes: Ints


def blocked(region: Region, elements: int, per_element: float) -> Prepared | None:
    """A kernel that works block by block, or `None` if blocks would be too large, or calls lack.

    Args:
        region: with reductions, and with the strides of its inputs.
        elements: how many a block has, roughly.
        per_element: nanoseconds that a call takes for each, roughly.
    """
    merged = _merged(region)
    rows, size = merged.shape[0], prod(merged.shape)
    if rows == 1 or size // rows > LONG:
        return None
    wanted = -(-size // elements)
    step = -(-rows // min(rows, -(-wanted // _EVEN) * _EVEN))
    count = -(-rows // step)
    full = write(_block(region, merged, step))
    # The last block may have fewer rows, and then has calls and memory of its own.
    left = rows - step * (count - 1)
    rest = write(_block(region, merged, left)) if left < step else full
    ends = _ends(region, merged, count) if 0 in merged.axes else {}
    if full is None or rest is None or ends is None:
        return None
    work = size * len(full.calls) * per_element
    workers = threads.count() if work > threads.WORTH_SPLITTING else 1
    outs, ins = len(region.outputs), len(region.inputs)
    remains = rest.scratch if left < step else ()
    each, own = len(full.scratch), len(remains)
    results = _results(region)
    shapes = [_shape(region, merged, spec.shape) for spec in (*results, *region.inputs)]
    moving = [shape[0] != 1 for shape in shapes]

    def run(*arrays: Any) -> None:
        whole = [a.reshape(s) for a, s in zip(arrays, shapes, strict=False)]
        made = whole[:outs]
        temporary = arrays[outs + ins :]
        last = temporary[each * workers : each * workers + own]
        aside = list(temporary[each * workers + own :])
        for i in ends:
            whole[i] = aside.pop(0)

        def part(index: int, worker: int) -> None:
            at = index * step
            here = [
                a[index : index + 1] if i in ends else a[at : at + step] if m else a
                for i, (a, m) in enumerate(zip(whole, moving, strict=True))
            ]
            if left < step and index == count - 1:
                run_calls(rest.calls, [*here, *last])
            else:
                mine = temporary[each * worker : each * (worker + 1)]
                run_calls(full.calls, [*here, *mine])

        if workers > 1 and threads.active():
            threads.split(part, count)
        else:
            for index in range(count):
                part(index, 0)
        for i, end in ends.items():
            needed = [aside.pop(0) for _ in end.scratch]
            end.run(made[i], whole[i], *needed)

    partial = [_partial(region, merged, i, count) for i in ends]
    scratch = [*full.scratch * workers, *remains, *partial]
    scratch += [spec for end in ends.values() for spec in end.scratch]
    # In a block of one row, what is reduced may look whole.
    pairs = [(i, o) for i, o in full.overwrites if region.inputs[i].shape == results[o].shape]
    return Prepared(run, tuple(scratch), tuple(pairs), work if workers > 1 else 0.0)


def _merged(region: Region) -> _Merged:
    shape = region.shape
    # What is reduced has strides of 0 along the axes: so they stay apart from what is kept.
    values = [*region.inputs, Spec(region.kept, "")]
    apart = region.axes[0] if region.by_rows else 0
    groups = merge(shape, [broadcast_strides(spec, shape) for spec in values], apart)
    axes = [
        number
        for number, group in enumerate(groups)
        if any(shape[i] != 1 and i in region.axes for i in range(*group))
    ]
    return _Merged(groups, merged_shape(shape, len(shape), groups), tuple(axes))


def _shape(region: Region, merged: _Merged, shape: Ints) -> Ints:
    return merged_shape(shape, len(region.shape), merged.groups)


def _results(region: Region) -> list[Spec]:
    """Specs of the outputs, with all dimensions."""
    nodes = [region.nodes[i - len(region.inputs)] for i in region.outputs]
    return [Spec(region.kept if n.reduces else n.spec.shape, n.spec.dtype) for n in nodes]


def _block(region: Region, merged: _Merged, rows: int) -> Region:
    """The region on a block of so many rows."""

    def cut(shape: Ints) -> Ints:
        first, *others = _shape(region, merged, shape)
        return (rows if first != 1 else 1, *others)

    def operand(spec: Spec) -> Spec:
        if spec.contiguous:
            return Spec(cut(spec.shape), spec.dtype)
        strides = broadcast_strides(spec, region.shape)
        steps = merged_strides(region.shape, strides, merged.groups)
        return Spec(cut(spec.shape), spec.dtype, steps)

    def node(old: Node) -> Node:
        if old.reduces:
            params = {"axes": merged.axes, "keepdims": True}
            return old._replace(params=params, spec=Spec(cut(region.kept), old.spec.dtype))
        return old._replace(spec=Spec(cut(old.spec.shape), old.spec.dtype))

    return replace(
        region,
        inputs=tuple(map(operand, region.inputs)),
        nodes=tuple(map(node, region.nodes)),
        shape=cut(region.shape),
        axes=merged.axes,
    )


def _partial(region: Region, merged: _Merged, output: int, count: int) -> Spec:
    """What the blocks make of an output."""
    spec = _results(region)[output]
    return Spec((count, *_shape(region, merged, spec.shape)[1:]), spec.dtype)


def _ends(region: Region, merged: _Merged, count: int) -> dict[int, Prepared] | None:
    """Output -> the kernel for what the blocks make of it; `None` if one is missing."""
    found: dict[int, Prepared] = {}
    for position, value in enumerate(region.outputs):
        node = region.nodes[value - len(region.inputs)]
        if node.reduces:
            partial = _partial(region, merged, position, count)
            total = Spec((1, *partial.shape[1:]), partial.dtype)
            prepare = KERNELS[node.name].prepare
            end = prepare((partial,), (total,), axes=(0,), keepdims=True) if prepare else None
            if end is None:
                return None
            found[position] = end
    return found
