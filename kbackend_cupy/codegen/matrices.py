"""Matrix products whose operands lie in any way: contractions that BLAS can't take, convolutions.

A block of threads makes a tile of the result. It copies strips of both operands to shared memory,
where an operand may be anything that is a function of its indices: a strided view, or the windows
of an image. Long sums are cut in shares, whose results are added up in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kbackend.engine.program import Ints, Spec
from kbackend_cupy.codegen.launch import NAME, Launch, named
from kbackend_cupy.codegen.loop import SHORT, fits, libraries, loop, pointer
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.codegen.scalar import TYPES, computed

_TILE, _DEPTH, _THREADS, _EACH = 64, 16, 256, 4
# Blocks that keep a device busy; the shortest share of a sum; the most shares.
_BUSY, _SHORTEST, _SHARES = 264, 256, 64
FLOATS = frozenset(("float16", "bfloat16", "float32", "float64"))


class Operand(NamedTuple):
    """An operand as a function of `batch`, `row` (or `column`) and `inner`.

    Attributes:
        lines: statements that return the element; the array is `data`.
        along: whether elements lie together whose `inner` follow each other.
    """

    lines: Sequence[str]
    along: bool


class Sizes(NamedTuple):
    """The sizes of a batch of products."""

    batch: int
    rows: int
    columns: int
    inner: int


def plan(
    what: str,
    sizes: Sizes,
    x: tuple[Spec, Operand],
    y: tuple[Spec, Operand],
    out: Spec,
    place: str,
) -> Plan | None:
    """The launches of a product, or `None` if arrays are too large or of other dtypes.

    Args:
        what: the kernel's name begins with it.
        sizes: of the products.
        x: the first operand, a function of `batch`, `row`, `inner`.
        y: the second one, a function of `batch`, `inner`, `column`.
        out: the result.
        place: of an element of the result, by `batch`, `row`, `column` and `rows`.
    """
    specs = (x[0], y[0], out)
    if not fits(*specs) or {spec.dtype for spec in specs} - FLOATS or sizes.inner > SHORT:
        return None
    if not out.size:
        return Plan(())
    across, down = -(-sizes.columns // _TILE), -(-sizes.rows // _TILE)
    shares = min(-(-_BUSY // (across * down * sizes.batch)), sizes.inner // _SHORTEST, _SHARES)
    shares = max(1, shares)
    share = -(-sizes.inner // shares)
    shares = max(1, -(-sizes.inner // max(1, share)))
    if across > 65535 or shares * sizes.batch > 65535:
        return None
    text, name = named(_text(sizes, x, y, out, place, shares, share), what)
    grid = (down, across, shares * sizes.batch)
    arrays = (0, 1, 2) if shares == 1 else (3, 1, 2)
    rows = (np.uint32(sizes.rows),)
    launches = [Launch(text, name, grid, (_THREADS, 1, 1), arrays, rows)]
    if shares == 1:
        return Plan(tuple(launches))
    work = computed(out.dtype)
    partial = Spec((shares, sizes.batch, sizes.rows, sizes.columns), _wide(out.dtype))
    each = sizes.batch * sizes.rows * sizes.columns
    lines = [
        f"const unsigned column = at % {sizes.columns}u, rest = at / {sizes.columns}u;",
        f"const unsigned rows = {sizes.rows}u, row = rest % rows, batch = rest / rows;",
        f"{work} sum = 0;",
        f"for (unsigned share = 0; share < {shares}u; ++share) sum += p[share * {each}u + at];",
        f"o[{place}] = kb::store<{TYPES[out.dtype]}>(sum);",
    ]
    parameters = [pointer(out, "o", True), pointer(partial, "p")]
    launches += loop("combine", libraries((out,)), parameters, lines, each, (0, 3))
    return Plan(tuple(launches), (partial,))


def _wide(dtype: str) -> str:
    return "float64" if dtype == "float64" else "float32"


def _text(
    sizes: Sizes,
    x: tuple[Spec, Operand],
    y: tuple[Spec, Operand],
    out: Spec,
    place: str,
    shares: int,
    share: int,
) -> str:
    work = computed(out.dtype)
    target = Spec((), _wide(out.dtype)) if shares > 1 else out
    stored = "sum[i][j]" if shares > 1 else f"kb::store<{TYPES[out.dtype]}>(sum[i][j])"
    if shares > 1:
        # The shares lie one behind the other.
        place = f"(blockIdx.z * rows + row) * {sizes.columns}u + column"
    share_of = f"blockIdx.z / {sizes.batch}u"
    lines = [
        _function("left", x, work, "batch", "row", "inner"),
        _function("right", y, work, "batch", "inner", "column"),
        f'extern "C" __global__ void __launch_bounds__({_THREADS}) {NAME}(',
        f"    {pointer(target, 'o', True)}, {pointer(x[0], 'x')}, {pointer(y[0], 'y')},",
        "    unsigned rows) {",
        # One more, so that neighbours don't share a bank of the memory.
        f"    __shared__ {work} xs[{_DEPTH}][{_TILE + 1}];",
        f"    __shared__ {work} ys[{_DEPTH}][{_TILE + 1}];",
        f"    const unsigned batch = blockIdx.z % {sizes.batch}u, share = {share_of};",
        f"    const unsigned row0 = blockIdx.x * {_TILE}u, column0 = blockIdx.y * {_TILE}u;",
        f"    const unsigned begin = share * {share}u, behind = begin + {share}u;",
        f"    const unsigned end = behind < {sizes.inner}u ? behind : {sizes.inner}u;",
        f"    const unsigned own_row = threadIdx.x / {_TILE // _EACH};",
        f"    const unsigned own_column = threadIdx.x % {_TILE // _EACH};",
        f"    {work} sum[{_EACH}][{_EACH}] = {{}};",
        f"    for (unsigned start = begin; start < end; start += {_DEPTH}) {{",
        "#pragma unroll",
        f"        for (unsigned e = threadIdx.x; e < {_TILE * _DEPTH}; e += {_THREADS}) {{",
        *_strip("xs", "row", "rows", "left(x, batch, row0 + other, inner)", x[1].along),
        *_strip(
            "ys", "column", f"{sizes.columns}u", "right(y, batch, inner, column0 + other)",
            y[1].along,
        ),
        "        }",
        "        __syncthreads();",
        "#pragma unroll",
        f"        for (int k = 0; k < {_DEPTH}; ++k) {{",
        f"            {work} a[{_EACH}], b[{_EACH}];",
        "#pragma unroll",
        f"            for (int i = 0; i < {_EACH}; ++i) {{",
        f"                a[i] = xs[k][own_row + i * {_TILE // _EACH}];",
        f"                b[i] = ys[k][own_column + i * {_TILE // _EACH}];",
        "            }",
        "#pragma unroll",
        f"            for (int i = 0; i < {_EACH}; ++i)",
        "#pragma unroll",
        f"                for (int j = 0; j < {_EACH}; ++j) sum[i][j] += a[i] * b[j];",
        "        }",
        # The next strips are written to the same memory.
        "        __syncthreads();",
        "    }",
        "#pragma unroll",
        f"    for (int i = 0; i < {_EACH}; ++i)",
        "#pragma unroll",
        f"        for (int j = 0; j < {_EACH}; ++j) {{",
        f"            const unsigned row = row0 + own_row + i * {_TILE // _EACH};",
        f"            const unsigned column = column0 + own_column + j * {_TILE // _EACH};",
        f"            if (row < rows && column < {sizes.columns}u) o[{place}] = {stored};",
        "        }",
        "}\n",
    ]  # fmt: skip
    return libraries((x[0], y[0], out)) + "\n".join(lines)


def _function(name: str, operand: tuple[Spec, Operand], work: str, *indices: str) -> str:
    spec, how = operand
    given = ", ".join(f"unsigned {index}" for index in indices)
    head = f"__device__ __forceinline__ {work} {name}({pointer(spec, 'data')}, {given}) {{"
    return "\n".join([head, *[f"    {line}" for line in how.lines], "}"])


def _strip(target: str, what: str, count: str, element: str, along: bool) -> list[str]:
    """Copies one element of a strip to shared memory; beyond the ends it is 0."""
    first = f"{what}0"
    if along:
        split = f"k = e % {_DEPTH}u, other = e / {_DEPTH}u"
    else:
        split = f"other = e % {_TILE}u, k = e / {_TILE}u"
    return [
        "            {",
        f"                const unsigned {split}, inner = start + k;",
        f"                const bool inside = inner < end && {first} + other < {count};",
        f"                {target}[k][other] = inside ? {element} : 0;",
        "            }",
    ]


def read(spec: Spec, place: str) -> str:
    """The statement that ends an operand's function."""
    return f"return kb::load<{computed(spec.dtype)}>(data[{place}]);"


__all__ = ["Ints", "Operand", "Sizes", "plan", "read"]
