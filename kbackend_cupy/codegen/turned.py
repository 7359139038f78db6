"""Arrays copied in another order."""

from __future__ import annotations

import numpy as np

from kbackend.base.dtypes import itemsize
from kbackend.engine.program import Ints, Spec
from kbackend_cupy.codegen.launch import NAME, Launch, named
from kbackend_cupy.codegen.loop import loop, pointer, steps
from kbackend_cupy.codegen.space import coordinates, offset

# Elements of a tile's side, and rows of threads that copy it.
_TILE, _ROWS = 32, 8
_MOST_BLOCKS = 65535
# Bits are copied, whatever they mean.
_RAW = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64"}


def copied(spec: Spec, arrays: Ints) -> list[Launch]:
    """Launches that copy an array of any strides to contiguous memory.

    Args:
        spec: of the array.
        arrays: which of the step's arrays the copy and the array are.
    """
    raw = _RAW[itemsize(spec.dtype)]
    lines = coordinates("at", spec.shape, "c", "unsigned")
    lines.append(f"o[at] = x[{offset(steps(spec), 'c', False)}];")
    parameters = [pointer(Spec(spec.shape, raw), "o", True), pointer(Spec(spec.shape, raw), "x")]
    return loop("copied", "", parameters, lines, spec.size, arrays)


def turned(spec: Spec, arrays: Ints) -> list[Launch]:
    """Launches that write the columns of a contiguous matrix as rows.

    Args:
        spec: of the matrix.
        arrays: which of the step's arrays the result and the matrix are.
    """
    rows, columns = spec.shape
    across, down = -(-columns // _TILE), -(-rows // _TILE)
    if across > _MOST_BLOCKS:
        return copied(Spec((columns, rows), spec.dtype, (1, columns)), arrays)
    raw = Spec((), _RAW[itemsize(spec.dtype)])
    kind = pointer(raw, "", True).split("*")[0]
    lines = [
        f'extern "C" __global__ void __launch_bounds__({_TILE * _ROWS}) {NAME}(',
        f"    {pointer(raw, 'o', True)}, {pointer(raw, 'x')}, unsigned rows, unsigned columns) {{",
        # One more, so that neighbours don't share a bank of the memory.
        f"    __shared__ {kind} tile[{_TILE}][{_TILE + 1}];",
        f"    const unsigned row0 = blockIdx.x * {_TILE}u, column0 = blockIdx.y * {_TILE}u;",
        f"    for (unsigned i = threadIdx.y; i < {_TILE}u; i += {_ROWS}u) {{",
        "        const unsigned row = row0 + i, column = column0 + threadIdx.x;",
        "        if (row < rows && column < columns)",
        "            tile[i][threadIdx.x] = x[row * columns + column];",
        "    }",
        "    __syncthreads();",
        f"    for (unsigned i = threadIdx.y; i < {_TILE}u; i += {_ROWS}u) {{",
        "        const unsigned row = row0 + threadIdx.x, column = column0 + i;",
        "        if (row < rows && column < columns)",
        "            o[column * rows + row] = tile[threadIdx.x][i];",
        "    }",
        "}\n",
    ]
    text, name = named("\n".join(lines), "turned")
    scalars = (np.uint32(rows), np.uint32(columns))
    return [Launch(text, name, (down, across, 1), (_TILE, _ROWS, 1), arrays, scalars)]
