"""Matrix products whose operands lie in any way: contractions that BLAS can't take, convolutions.

A block of threads makes a tile of the result. It copies strips of both operands to shared memory,
where an operand may be anything that is a function of its indices: a strided view, or the windows
of an image. While a strip is multiplied, the next one is on its way from memory. Long sums are cut
in shares, which the blocks add up themselves (`tree.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kbackend.engine.program import Ints, Spec
from kbackend_cupy.codegen import tree
from kbackend_cupy.codegen.launch import BLOCK, SHARED, Kernel
from kbackend_cupy.codegen.loop import SHORT, fits, libraries, pointer
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.codegen.scalar import TYPES, computed

# Elements of a sum that are in shared memory at once, and neighbours that are read together there.
_DEPTH, _QUAD = 8, 4
# Tiles of the result, as rows, columns, and rows and columns of a thread: what an element of one
# costs. Fitted to an H100, as the numbers below.
_TILES = {
    (128, 64, 8): 1.0, (64, 128, 8): 1.0, (64, 64, 8): 1.05, (32, 64, 8): 1.4, (64, 32, 8): 1.65,
    (32, 32, 4): 2.4,
}  # fmt: skip
# float64 takes twice the registers.
_DOUBLE_TILES = {(64, 64, 4): 1.0, (64, 32, 4): 1.2, (32, 64, 4): 1.2, (32, 32, 4): 1.4}
# The shortest share of a sum; the most shares.
_SHORTEST, _SHARES = 256, 256
# What a device is reckoned to be, whichever it is, so that results don't depend on it:
# multiprocessors, and the threads that make one of them half as quick as it can be; what a tile, a
# partial result, and a neighbour's sums cost besides, in multiplications of a multiprocessor. The
# last is no measured number: a microsecond, for a fence, a ticket and a tile read from the cache.
_UNITS, _HALF, _TILE, _PARTIAL, _PAIR = 132, 115, 80_000, 100, 220_000
FLOATS = frozenset(("float16", "bfloat16", "float32", "float64"))


class Operand(NamedTuple):
    """An operand as a function of `batch`, `row` (or `column`) and `inner`.

    Attributes:
        lines: statements that find the element in the array, or return nothing: `return {};`.
        place: the position that they find.
        along: whether elements lie together whose `inner` follow each other.
        width: how many that follow each other, from a multiple of it on, lie together, or are
            nothing together.
    """

    lines: Sequence[str]
    place: str
    along: bool
    width: int


class Sizes(NamedTuple):
    """The sizes of a batch of products."""

    batch: int
    rows: int
    columns: int
    inner: int


class _Cut(NamedTuple):
    """How a product is divided.

    Attributes:
        down: rows of a tile.
        across: columns of a tile.
        each: rows and columns of a thread.
        shares: parts of the sum.
        share: length of a part.
    """

    down: int
    across: int
    each: int
    shares: int
    share: int

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.down * self.across // self.each**2


def width(spec: Spec, count: int, steps: Ints) -> int:
    """Elements that can be read in one access.

    Args:
        spec: the array.
        count: elements that lie one behind the other.
        steps: from one such row of elements to others.
    """
    found = 2 if spec.dtype == "float64" else _QUAD
    while any(each % found for each in (count, *steps)):
        found //= 2
    return found


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
        place: of an element of the result, by `batch`, `row`, `column` and `rows`; columns follow
            each other.
    """
    specs = (x[0], y[0], out)
    if not fits(*specs) or {spec.dtype for spec in specs} - FLOATS or sizes.inner > SHORT:
        return None
    if not out.size:
        return Plan(())
    cut = _cut(sizes, computed(out.dtype) == "double")
    tiles = -(-sizes.columns // cut.across) * -(-sizes.rows // cut.down) * sizes.batch
    if tiles * cut.shares > SHORT:
        return None
    size = sizes.batch * sizes.rows * sizes.columns * sizes.inner
    arrays: Ints = (0, 1, 2)
    scratch: tuple[Spec, ...] = ()
    tickets = 0
    if cut.shares > 1:
        arrays, tickets = (0, 1, 2, 3, 4), tree.tickets(cut.shares, tiles)
        scratch = (Spec((cut.shares, tiles, cut.down * cut.across), _wide(out.dtype)),)
    kernel = _kernel(sizes, x, y, out, place, cut)
    rows = (np.uint32(sizes.rows),)
    launch = kernel.launch(what, tiles * cut.shares, arrays, rows, size)
    return Plan((launch,), scratch, tickets=tickets)


def _cut(sizes: Sizes, double: bool) -> _Cut:
    """The tiles with the least work that keep a device busy."""
    most = max(1, min(sizes.inner // _SHORTEST, _SHARES))
    wanted = sorted({min(most, round(1.25**i)) for i in range(26)})
    found = []
    for (down, across, each), cost in (_DOUBLE_TILES if double else _TILES).items():
        tiles = -(-sizes.rows // down) * -(-sizes.columns // across) * sizes.batch
        for parts in wanted:
            share = max(1, -(-sizes.inner // (parts * _DEPTH))) * _DEPTH
            cut = _Cut(down, across, each, max(1, -(-sizes.inner // share)), share)
            # One multiprocessor has so many tiles, together or one after the other.
            own = -(-tiles * cut.shares // _UNITS)
            rate = cut.threads * own / (cut.threads * own + _HALF)
            time = own * (down * across * share * cost + _TILE) / rate
            if cut.shares > 1:
                results = sizes.batch * sizes.rows * sizes.columns
                time += _PAIR * tree.depth(cut.shares)
                time += cut.shares * results * _PARTIAL / _UNITS
            found.append((time, cut))
    return min(found)[1]


def _wide(dtype: str) -> str:
    return "float64" if dtype == "float64" else "float32"


def _kernel(
    sizes: Sizes,
    x: tuple[Spec, Operand],
    y: tuple[Spec, Operand],
    out: Spec,
    place: str,
    cut: _Cut,
) -> Kernel:
    work = computed(out.dtype)
    # A thread's rows and columns come in quads, each of which lies together in shared memory.
    quads = cut.each // _QUAD
    rows_apart, columns_apart = cut.down // quads, cut.across // quads
    wide, columns = cut.across // cut.each, -(-sizes.columns // cut.across)
    functions = [
        _function("left", x, work, "batch", "row", "inner"),
        _function("right", y, work, "batch", "inner", "column"),
        "",
    ]
    lines = [
        # A strip that is read, and one that is written. A row begins where a quad may be read.
        f"auto& xs = *({work}(*)[2][{_DEPTH}][{cut.down + _QUAD}]){SHARED};",
        f"auto& ys = *({work}(*)[2][{_DEPTH}][{cut.across + _QUAD}])({SHARED} + sizeof xs);",
        f"const unsigned down = (rows + {cut.down - 1}u) / {cut.down}u;",
        f"const unsigned tiles = down * {columns * sizes.batch}u;",
        f"const unsigned share = {BLOCK} / tiles, tile = {BLOCK} % tiles;",
        f"const unsigned batch = tile / (down * {columns}u);",
        f"const unsigned begin = share * {cut.share}u;",
        f"const unsigned behind = begin + {cut.share}u;",
        f"const unsigned end = behind < {sizes.inner}u ? behind : {sizes.inner}u;",
        f"const unsigned row0 = tile % down * {cut.down}u;",
        f"const unsigned column0 = tile / down % {columns}u * {cut.across}u;",
        f"const unsigned own_row = threadIdx.x / {wide}u * {_QUAD};",
        f"const unsigned own_column = threadIdx.x % {wide}u * {_QUAD};",
        f"const bool x_aligned = kb::aligned<{TYPES[x[0].dtype]}, {x[1].width}>(x);",
        f"const bool y_aligned = kb::aligned<{TYPES[y[0].dtype]}, {y[1].width}>(y);",
        *_strip("x", x[1], cut.down, cut.threads, work, "row", "rows", "left(x, batch, {}, inner"),
        *_strip(
            "y", y[1], cut.across, cut.threads, work, "column", f"{sizes.columns}u",
            "right(y, batch, inner, {}",
        ),
        f"{work} sum[{cut.each}][{cut.each}] = {{}};",
        "fetch_x(begin);",
        "fetch_y(begin);",
        "keep_x(0);",
        "keep_y(0);",
        "__syncthreads();",
        "unsigned now = 0;",
        f"for (unsigned start = begin; start < end; start += {_DEPTH}, now = 1 - now) {{",
        f"    const bool more = start + {_DEPTH} < end;",
        "    if (more) {",
        f"        fetch_x(start + {_DEPTH});",
        f"        fetch_y(start + {_DEPTH});",
        "    }",
        "#pragma unroll",
        f"    for (int k = 0; k < {_DEPTH}; ++k) {{",
        f"        kb::pack<{work}, {_QUAD}> a[{quads}], b[{quads}];",
        "#pragma unroll",
        f"        for (int q = 0; q < {quads}; ++q) {{",
        f"            const unsigned row = own_row + q * {rows_apart};",
        f"            const unsigned column = own_column + q * {columns_apart};",
        f"            a[q] = kb::load_pack<{_QUAD}>(&xs[now][k][row]);",
        f"            b[q] = kb::load_pack<{_QUAD}>(&ys[now][k][column]);",
        "        }",
        "#pragma unroll",
        f"        for (int i = 0; i < {cut.each}; ++i)",
        "#pragma unroll",
        f"            for (int j = 0; j < {cut.each}; ++j)",
        f"                sum[i][j] += a[i / {_QUAD}].at[i % {_QUAD}]",
        f"                    * b[j / {_QUAD}].at[j % {_QUAD}];",
        "    }",
        "    if (more) {",
        "        keep_x(1 - now);",
        "        keep_y(1 - now);",
        "    }",
        "    __syncthreads();",
        "}",
        *(tree.lines(work, cut.shares, cut.each, cut.threads) if cut.shares > 1 else []),
        *_stored(sizes, out, place, cut, rows_apart, columns_apart),
    ]  # fmt: skip
    parameters = [pointer(out, "o", True), pointer(x[0], "x"), pointer(y[0], "y")]
    more: tuple[str, ...] = ()
    if cut.shares > 1:
        parameters += [f"{work}* p", "unsigned* tickets"]
        more = ("tickets.cuh",)
    return Kernel(
        libraries((x[0], y[0], out), "memory.cuh", "matrices.cuh", *more),
        "\n".join(functions),
        tuple(parameters),
        ("unsigned rows",),
        tuple(lines),
        cut.threads,
        2 * _DEPTH * (cut.down + cut.across + 2 * _QUAD) * (8 if work == "double" else 4),
        # Left to itself the compiler keeps small kernels so small that some spill.
        roomy=quads == 1,
    )


def _function(name: str, operand: tuple[Spec, Operand], work: str, *indices: str) -> str:
    spec, how = operand
    given = ", ".join(f"unsigned {index}" for index in indices)
    head = [
        f"__device__ __forceinline__ kb::pack<{work}, {how.width}> {name}(",
        f"    {pointer(spec, 'data')}, {given}, bool aligned) {{",
    ]
    lines = [*how.lines, f"return kb::values<{work}, {how.width}>(data + ({how.place}), aligned);"]
    return "\n".join([*head, *[f"    {line}" for line in lines], "}"])


def _strip(
    of: str,
    operand: Operand,
    tile: int,
    threads: int,
    work: str,
    what: str,
    count: str,
    element: str,
) -> list[str]:
    """How a thread's part of a strip is fetched from memory, and kept in shared memory.

    Beyond the ends it is 0.
    """
    packs, wide = tile * _DEPTH // operand.width, operand.width
    rounds = -(-packs // threads)
    if operand.along:
        split = f"k = e % {_DEPTH // wide}u * {wide}, other = e / {_DEPTH // wide}u"
    else:
        split = f"other = e % {tile // wide}u * {wide}, k = e / {tile // wide}u"
    each = [
        "#pragma unroll",
        f"    for (int i = 0; i < {rounds}; ++i) {{",
        f"        const unsigned e = threadIdx.x + i * {threads};",
        *([f"        if (e >= {packs}u) break;"] if packs % threads else []),
        f"        const unsigned {split};",
    ]
    call = f"{element.format(f'{what}0 + other')}, {of}_aligned)"
    if operand.along:
        kept = [
            "#pragma unroll",
            f"        for (int j = 0; j < {wide}; ++j)",
            f"            {of}s[buffer][k + j][other] = {of}_next[i].at[j];",
        ]
    else:
        kept = [f"        kb::store_pack<{wide}>(&{of}s[buffer][k][other], {of}_next[i]);"]
    return [
        f"kb::pack<{work}, {wide}> {of}_next[{rounds}];",
        f"const auto fetch_{of} = [&](unsigned start) {{",
        *each,
        "        const unsigned inner = start + k;",
        f"        const bool inside = inner < end && {what}0 + other < {count};",
        f"        {of}_next[i] = {{}};",
        f"        if (inside) {of}_next[i] = {call};",
        "    }",
        "};",
        f"const auto keep_{of} = [&](unsigned buffer) {{",
        *each,
        *kept,
        "    }",
        "};",
    ]


def _stored(
    sizes: Sizes, target: Spec, place: str, cut: _Cut, rows_apart: int, columns_apart: int
) -> list[str]:
    """Writes a thread's part of the result, in quads where rows consist of them."""
    kind = TYPES[target.dtype]
    packed = sizes.columns % _QUAD == 0
    quads = cut.each // _QUAD
    lines = [
        *([f"const bool o_aligned = kb::aligned<{kind}, {_QUAD}>(o);"] if packed else []),
        "#pragma unroll",
        f"for (int i = 0; i < {cut.each}; ++i)",
        "#pragma unroll",
        f"    for (int q = 0; q < {quads}; ++q) {{",
        f"        const unsigned quad = row0 + i / {_QUAD} * {rows_apart} + own_row;",
        f"        const unsigned row = quad + i % {_QUAD};",
        f"        const unsigned column = column0 + q * {columns_apart} + own_column;",
        f"        if (row >= rows || column >= {sizes.columns}u) continue;",
        f"        kb::pack<{kind}, {_QUAD}> made;",
        "#pragma unroll",
        f"        for (int j = 0; j < {_QUAD}; ++j)",
        f"            made.at[j] = kb::store<{kind}>(sum[i][q * {_QUAD} + j]);",
        f"        {kind}* place = o + ({place});",
    ]
    left = str(_QUAD) if packed else f"{sizes.columns}u - column"
    one_by_one = [
        "#pragma unroll",
        f"        for (int j = 0; j < {_QUAD}; ++j)",
        f"            if (j < {left}) place[j] = made.at[j];",
    ]
    if packed:
        lines += [
            "        if (o_aligned) {",
            f"            kb::store_pack<{_QUAD}>(place, made);",
            "            continue;",
            "        }",
        ]
    return [*lines, *one_by_one, "    }"]


__all__ = ["Operand", "Sizes", "plan", "width"]
