"""Regions without reductions: each thread computes a few neighbouring elements."""

from __future__ import annotations

from math import prod

import numpy as np

from kbackend.engine.program import Ints
from kbackend_cupy.codegen.body import Body
from kbackend_cupy.codegen.launch import BLOCK, BLOCKS, THREADS, Kernel, Launch
from kbackend_cupy.codegen.scalar import TYPES, itemsize
from kbackend_cupy.codegen.space import coordinates, offset

# Blocks from which on each thread does more than one pack.
_MOST = 4096
# Bytes that a thread reads and writes at once, at most.
_ACCESS = 16


def launches(body: Body) -> list[Launch]:
    """The launch of a region's kernel; none where there are no elements."""
    sizes = body.space.kept
    size = prod(sizes)
    if not size:
        return []
    width = _width(body)
    blocks = min(_MOST, -(-size // (THREADS * width)))
    count = np.uint64(size) if body.space.long else np.uint32(size)
    return [_kernel(body, width).launch("region", blocks, body.places(), (count,), size)]


def _same(body: Body, value: int) -> bool:
    """Whether an input lies as the domain does."""
    pairs = zip(body.space.inputs[value].kept, body.space.whole.kept, body.space.kept, strict=True)
    return all(step == own or size == 1 for step, own, size in pairs)


def _one(body: Body, value: int) -> bool:
    return not any(body.space.inputs[value].kept)


def _width(body: Body) -> int:
    """Elements that a thread does at once."""
    sizes = body.space.kept
    width = max(1, _ACCESS // max(itemsize(dtype) for dtype in body.dtypes))
    if len(sizes) > 1 and not all(_same(body, i) or _one(body, i) for i in body.arrays):
        # A pack must not reach over the end of a row.
        while sizes[-1] % width:
            width //= 2
    return width


def _in_packs(body: Body, value: int, width: int) -> bool:
    """Whether an input's elements can be read in one access."""
    steps: Ints = body.space.inputs[value].kept
    if _same(body, value):
        return True
    return steps[-1] == 1 and all(step % width == 0 for step in steps[:-1])


def _kernel(body: Body, width: int) -> Kernel:
    space, index = body.space, body.space.counter
    outputs = range(len(body.region.outputs))
    moving = [i for i in body.arrays if not _same(body, i) and not _one(body, i)]
    before, inside = [], []
    if moving:
        before += coordinates("at", space.kept, "c", index)
    for i in body.arrays:
        kind, steps = TYPES[body.dtypes[i]], space.inputs[i].kept
        if _one(body, i):
            before.append(body.statement(i, lambda value: "0"))
            continue
        place = "at" if _same(body, i) else offset(steps, "c", space.long)
        if _in_packs(body, i, width):
            before.append(f"const kb::pack<{kind}, V> x{i} = kb::load_pack<V>(i{i} + {place});")
        else:
            before.append(f"kb::pack<{kind}, V> x{i};")
            before.append("#pragma unroll")
            before.append(
                f"for (int j = 0; j < V; ++j) x{i}.at[j] = i{i}[{place} + j * {steps[-1]}];"
            )
        inside.append(f"const {body.type(i)} v{i} = kb::load<{body.type(i)}>(x{i}.at[j]);")
    for i in outputs:
        before.append(f"kb::pack<{TYPES[body.dtypes[body.region.outputs[i]]]}, V> r{i};")
    for value in range(body.count, len(body.dtypes)):
        inside.append(body.statement(value, lambda value: ""))
    inside += [f"r{i}.at[j] = {body.stored(i)};" for i in outputs]
    after = [f"kb::store_pack<V>(o{i} + at, r{i});" for i in outputs]
    packed = [f"o{i}" for i in outputs]
    packed += [f"i{i}" for i in body.arrays if not _one(body, i) and _in_packs(body, i, width)]
    types = {f"o{i}": TYPES[body.dtypes[v]] for i, v in enumerate(body.region.outputs)}
    types |= {f"i{i}": TYPES[body.dtypes[i]] for i in body.arrays}
    aligned = " && ".join(f"kb::aligned<{types[name]}, {width}>({name})" for name in packed)
    parameters = ", ".join(body.parameters())
    names = ", ".join([*[f"o{i}" for i in outputs], *[f"i{i}" for i in body.arrays]])
    function = [
        f"template <int V> __device__ __forceinline__ void elements({parameters}, {index} at) {{",
        *[f"    {line}" for line in before],
        "#pragma unroll",
        "    for (int j = 0; j < V; ++j) {",
        *[f"        {line}" for line in inside],
        "    }",
        *[f"    {line}" for line in after],
        "}\n",
    ]
    lines = [
        f"const {index} own = ({index}){BLOCK} * {THREADS} + threadIdx.x;",
        f"const {index} all = ({index}){BLOCKS} * {THREADS};",
        f"{index} done = 0;",
    ]
    if width > 1:
        lines += [
            f"if ({aligned}) {{",
            f"    for ({index} i = own; i < n / {width}; i += all)",
            f"        elements<{width}>({names}, i * {width});",
            f"    done = n / {width} * {width};",
            "}",
        ]
    lines.append(f"for ({index} i = done + own; i < n; i += all) elements<1>({names}, i);")
    head = body.libraries("memory.cuh")
    functions, counter = "\n".join(function), (f"{index} n",)
    return Kernel(head, functions, tuple(body.parameters()), counter, tuple(lines))
