"""What the cotangents of all steps' sums add up to: gradients of weights, biases and inputs.

The cotangents `dz` `(time, batch, sums * units)` are in the order of the steps.
"""

from __future__ import annotations

from kbackend.engine.program import Ints, Spec
from kbackend_cupy.codegen import matrices
from kbackend_cupy.codegen.launch import NAME, Launch, named
from kbackend_cupy.codegen.loop import libraries, pointer, steps
from kbackend_cupy.codegen.matrices import Operand, Sizes
from kbackend_cupy.codegen.recurrent_team import Layer
from kbackend_cupy.codegen.recurrent_text import at
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.codegen.scalar import TYPES

# Threads for neighbouring columns of a sum over examples, and for the examples.
_ACROSS, _ALONG = 32, 8


def of_kernel(layer: Layer, x: Spec, dz: Spec, out: Spec, backwards: bool) -> Plan | None:
    """The gradient of the kernel, from the inputs and the cotangents."""
    step = f"{layer.time - 1}u - inner / {layer.batch}u" if backwards else f"inner / {layer.batch}u"
    lines = [f"const unsigned example = inner % {layer.batch}u, step = {step};"]
    own = steps(x)
    wide = matrices.width(x, layer.features, own[:2]) if own[2] == 1 else 1
    left = Operand(lines, at(x, "example", "step", "row"), False, wide)
    sizes = Sizes(1, layer.features, len(layer.cell.inputs) * layer.units, layer.time * layer.batch)
    right = _cotangents(layer, dz, layer.cell.inputs)
    return matrices.plan("dot", sizes, (x, left), (dz, right), out, _place(sizes))


def of_recurrent(layer: Layer, hidden: Spec, dz: Spec, out: Spec) -> Plan | None:
    """The gradient of the recurrent kernel, from the states before each step."""
    wide = matrices.width(hidden, layer.units, (layer.units,))
    left = Operand([], f"inner * {layer.units}u + row", False, wide)
    sizes = Sizes(1, layer.units, len(layer.cell.recurrent) * layer.units, layer.time * layer.batch)
    right = _cotangents(layer, dz, layer.cell.recurrent)
    return matrices.plan("dot", sizes, (hidden, left), (dz, right), out, _place(sizes))


def of_inputs(layer: Layer, w: Spec, dz: Spec, out: Spec, backwards: bool) -> Plan | None:
    """The gradient of the inputs."""
    length = layer.cell.sums * layer.units
    step = f"{layer.time - 1}u - row % {layer.time}u" if backwards else f"row % {layer.time}u"
    lines = [
        f"const unsigned example = row / {layer.time}u, step = {step};",
        f"const unsigned from = {_source(layer, layer.cell.inputs, 'inner')};",
    ]
    place = f"(step * {layer.batch}u + example) * {length}u + from"
    left = Operand(lines, place, True, matrices.width(dz, layer.units, (length,)))
    sizes = Sizes(1, layer.batch * layer.time, layer.features, len(layer.cell.inputs) * layer.units)
    down, across = steps(w)
    wide = 1
    if across == 1:
        wide = matrices.width(w, sizes.inner, (down,))
    elif down == 1:
        wide = matrices.width(w, sizes.columns, (across,))
    right = Operand([], at(w, "column", "inner"), across == 1, wide)
    return matrices.plan("dot", sizes, (dz, left), (w, right), out, _place(sizes))


def of_biases(layer: Layer, each: Spec, out: Spec, arrays: Ints) -> Launch:
    """The launch that adds up what the examples add to the biases' gradients.

    Args:
        layer: what is computed.
        each: of all examples, `(batch, sums * units)`.
        out: the result.
        arrays: which of the step's arrays the result and these are.
    """
    cell, length = layer.cell, layer.cell.sums * layer.units
    source = _source(layer, cell.inputs, "column")
    if cell.two_biases:
        count = len(cell.inputs) * layer.units
        other = _source(layer, cell.recurrent, f"(column - {count}u)")
        source = f"column < {count}u ? {source} : {other}"
    lines = [
        f'extern "C" __global__ void __launch_bounds__({_ACROSS * _ALONG}) {NAME}(',
        f"    {pointer(out, 'o', True)}, {pointer(each, 'x')}) {{",
        f"    __shared__ {layer.work} sums[{_ALONG}][{_ACROSS}];",
        f"    const unsigned lane = threadIdx.x % {_ACROSS}u, row = threadIdx.x / {_ACROSS}u;",
        f"    const unsigned column = blockIdx.x * {_ACROSS}u + lane;",
        f"    const unsigned from = {source};",
        f"    {layer.work} sum = 0;",
        f"    if (column < {out.size}u)",
        "#pragma unroll 4",
        f"        for (unsigned i = row; i < {layer.batch}u; i += {_ALONG}u)",
        f"            sum += x[i * {length}u + from];",
        "    sums[row][lane] = sum;",
        "    __syncthreads();",
        f"    if (row > 0 || column >= {out.size}u) return;",
        "#pragma unroll",
        f"    for (int other = 1; other < {_ALONG}; ++other) sum += sums[other][lane];",
        f"    o[column] = kb::store<{TYPES[out.dtype]}>(sum);",
        "}\n",
    ]
    text, name = named(libraries((out, each)) + "\n".join(lines), "biases")
    grid = (-(-out.size // _ACROSS), 1, 1)
    return Launch(text, name, grid, (_ACROSS * _ALONG, 1, 1), arrays)


def _cotangents(layer: Layer, dz: Spec, blocks: Ints) -> Operand:
    """Some blocks of the cotangents, as what is multiplied with the inputs or the states."""
    length = layer.cell.sums * layer.units
    lines = [f"const unsigned from = {_source(layer, blocks, 'column')};"]
    wide = matrices.width(dz, layer.units, (length,))
    return Operand(lines, f"inner * {length}u + from", False, wide)


def _source(layer: Layer, blocks: Ints, column: str) -> str:
    """Where the columns of some blocks are among all cotangents."""
    if blocks == tuple(range(len(blocks))):
        return column
    # The first of them follow each other.
    first = next(i for i, block in enumerate(blocks) if block != i)
    ahead = (blocks[first] - first) * layer.units
    return f"({column} < {first * layer.units}u ? {column} : {column} + {ahead}u)"


def _place(sizes: Sizes) -> str:
    return f"row * {sizes.columns}u + column"
