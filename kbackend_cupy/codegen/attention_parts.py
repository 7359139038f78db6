"""What the kernels of attention have in common: their sizes, tiles, and what a weight is made of.

A block of threads has a tile of rows, and goes through the columns tile by tile. In some kernels
the rows are queries and the columns are keys, in others it is the other way round. A row's numbers
belong to 16 neighbouring threads, which exchange what they need of each other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kbackend.engine.program import Ints, Spec
from kbackend.engine.strides import broadcast_strides
from kbackend_cupy.codegen import matrices
from kbackend_cupy.codegen.launch import BLOCK, SHARED, Kernel
from kbackend_cupy.codegen.loop import libraries, pointer, steps
from kbackend_cupy.codegen.recurrent_text import at
from kbackend_cupy.codegen.scalar import TYPES, literal

# Threads of a block, those that have a row in common, and rows that are there at once.
THREADS, ACROSS = 128, 16
DOWN = THREADS // ACROSS
# What a masked product becomes: far below all others, yet finite.
_FLOOR = -2.38e38
# Rows or columns of a tile; the least elements of one that are worth it, and the most for which a
# thread of the gradient's kernels has registers.
SIDES, _LEAST, _MOST_BACK = (64, 32, 16), 512, 2048
# Bytes of shared memory that each block has.
ROOM = 48 << 10
# Blocks that keep any device busy, whichever it is, so that results don't depend on it.
_BLOCKS = 264
# A row in shared memory begins so many numbers behind the end of the one before: neighbours then
# read from different banks.
_APART = 4


class Tile(NamedTuple):
    """Rows and columns that are in shared memory at once."""

    rows: int
    columns: int

    @property
    def own(self) -> int:
        """Rows of a thread."""
        return self.rows // DOWN

    @property
    def each(self) -> int:
        """Columns of a thread."""
        return self.columns // ACROSS

    @property
    def apart(self) -> int:
        """Numbers from one row of weights to the next."""
        return self.columns + _APART


class Form(NamedTuple):
    """What is computed.

    Attributes:
        q: the queries, `(image, query, head, element)`.
        k: the keys.
        v: the values.
        bias: what is added to the products, if anything is.
        mask: which keys a query sees, if it does not see all.
        scale: factor of the products.
        causal: whether a query sees no later keys.
        cap: the bound that products are squashed to, if there is one.
    """

    q: Spec
    k: Spec
    v: Spec
    bias: Spec | None
    mask: Spec | None
    scale: float
    causal: bool
    cap: float | None

    @property
    def images(self) -> int:
        """Examples of the batch."""
        return self.q.shape[0]

    @property
    def heads(self) -> int:
        """Heads of each of them."""
        return self.q.shape[2]

    @property
    def queries(self) -> int:
        """Queries of a head."""
        return self.q.shape[1]

    @property
    def keys(self) -> int:
        """Keys of a head."""
        return self.k.shape[1]

    @property
    def products(self) -> Ints:
        """The shape of the products, `(image, head, query, key)`."""
        return self.images, self.heads, self.queries, self.keys

    @property
    def choosy(self) -> bool:
        """Whether a query may not see all keys."""
        return self.causal or self.mask is not None

    @property
    def extra(self) -> dict[str, Spec]:
        """The arrays besides queries, keys and values."""
        found = {"bias": self.bias, "mask": self.mask}
        return {name: spec for name, spec in found.items() if spec is not None}


def vectors(size: int) -> tuple[int, int]:
    """Elements of rows of so many, per thread: how many, and how many of them lie together."""
    count = -(-size // ACROSS)
    return count, next(n for n in (4, 2, 1) if count % n == 0)


def pitch(size: int) -> int:
    """Numbers from one row of so many in shared memory to the next."""
    return vectors(size)[0] * ACROSS + _APART


def tiles(depth: int, width: int, back: bool) -> list[Tile]:
    """The tiles for which there is room.

    Args:
        depth: elements of queries and keys.
        width: elements of values.
        back: whether there are the gradient's rows besides.
    """
    found = []
    for rows in SIDES:
        for columns in SIDES:
            tile = Tile(rows, columns)
            sizes = [pitch(depth), *([pitch(width)] if back else [])]
            count = rows * sum(sizes) + columns * (pitch(depth) + pitch(width))
            small = not back or rows * columns <= _MOST_BACK
            if small and 4 * (count + rows * tile.apart) <= ROOM:
                found.append(tile)
    return found


def able(depth: int, width: int, back: bool) -> bool:
    """Whether there is room for tiles that are worth it."""
    return any(one.rows * one.columns >= _LEAST for one in tiles(depth, width, back))


def chosen(form: Form, rows: int, columns: int, back: bool) -> Tile:
    """The largest tile of which there are enough for all of a device, or the most tiles.

    Args:
        form: what is computed.
        rows: how many rows a head has.
        columns: how many columns.
        back: whether it is a kernel of the gradient.
    """
    best: tuple[bool, int, int, int] | None = None
    found = Tile(0, 0)
    for tile in tiles(form.q.shape[3], form.v.shape[3], back):
        # Not twice as large as what there is.
        if tile != (reach(rows, tile.rows), reach(columns, tile.columns)):
            continue
        blocks = min(_BLOCKS, form.images * form.heads * -(-rows // tile.rows))
        rank = (blocks == _BLOCKS, 0 if blocks == _BLOCKS else blocks, tile.rows * tile.columns,
                tile.columns)  # fmt: skip
        if best is None or rank > best:
            best, found = rank, tile
    return found


def reach(count: int, most: int = SIDES[0]) -> int:
    """The smallest side of a tile that has room for so many, but not more than `most`."""
    return min(most, next((side for side in reversed(SIDES) if side >= count), SIDES[0]))


# ----- text -----


class Array(NamedTuple):
    """A parameter.

    Attributes:
        name: in the text.
        spec: what it is.
        written: whether the kernel writes it.
    """

    name: str
    spec: Spec
    written: bool = False


def fetched(name: str, spec: Spec, side: int) -> str:
    """A function that copies a tile of rows to shared memory, zeros beyond their ends."""
    _, count, _, size = spec.shape
    kind, own = TYPES[spec.dtype], steps(spec)
    wide = matrices.width(spec, size, own[:3]) if own[3] == 1 or size == 1 else 1
    packs = (pitch(size) - _APART) // wide
    place = at(spec, "image", "first + row", "head", "e")
    return "\n".join([
        f"__device__ __forceinline__ void fetch_{name}(",
        f"    const {kind}* data, float* into, unsigned image, unsigned head, unsigned first) {{",
        f"    const bool aligned = kb::aligned<{kind}, {wide}>(data);",
        "#pragma unroll 4",
        f"    for (unsigned i = threadIdx.x; i < {side * packs}u; i += {THREADS}u) {{",
        f"        const unsigned row = i / {packs}u, e = i % {packs}u * {wide}u;",
        f"        kb::pack<float, {wide}> found = {{}};",
        f"        if (first + row < {count}u && e < {size}u)",
        f"            found = kb::values<float, {wide}>(data + ({place}), aligned);",
        f"        kb::store_pack<{wide}>(into + row * {pitch(size)}u + e, found);",
        "    }",
        "}",
    ])  # fmt: skip


def logit(form: Form) -> str:
    """A function that makes of a product what goes into the softmax; far below all beyond the ends.

    It also tells whether the query sees the key, and the slope of the bound.
    """
    shape = form.products
    extra = "".join(f", {pointer(spec, name)}" for name, spec in form.extra.items())
    lines = [f"s *= {literal(form.scale, 'float32')};"]
    if form.cap is not None:
        cap = literal(form.cap, "float32")
        lines += [f"const float t = kb::tanh(s / {cap});", f"s = t * {cap};", "slope = 1 - t * t;"]

    def place(spec: Spec) -> str:
        strides = broadcast_strides(spec, shape)
        return at(Spec(shape, spec.dtype, strides), "image", "head", "query", "key")

    if form.bias is not None:
        lines.append(f"s += kb::load<float>(bias[{place(form.bias)}]);")
    sees = ["key <= query"] if form.causal else []
    if form.mask is not None:
        sees.append(f"mask[{place(form.mask)}]")
    if sees:
        lines.append(f"seen = {' && '.join(sees)};")
        lines.append(f"if (!seen) s = {literal(_FLOOR, 'float32')};")
    return "\n".join([
        "__device__ __forceinline__ float logit(float s, unsigned image, unsigned head,",
        f"    unsigned query, unsigned key{extra}, bool& seen, float& slope) {{",
        "    slope = 1;",
        f"    seen = query < {form.queries}u && key < {form.keys}u;",
        f"    if (!seen) return {literal(-np.inf, 'float32')};",
        *[f"    {line}" for line in lines],
        "    return s;",
        "}\n",
    ])  # fmt: skip


def called(form: Form, product: str, query: str, key: str) -> str:
    """The call of `logit`, which sets `seen[j]` and `slope[j]`."""
    extra = "".join(f", {name}" for name in form.extra)
    return f"logit({product}, image, head, {query}, {key}{extra}, seen[j], slope[j])"


def rows_of(tile: Tile, lines: list[str]) -> list[str]:
    """Lines for each row of a thread, the `i`-th of its own."""
    return [
        "#pragma unroll",
        f"for (int i = 0; i < {tile.own}; ++i) {{",
        *[f"    {line}" for line in lines],
        "}",
    ]


def columns_of(count: int, lines: list[str]) -> list[str]:
    """Lines for each column of a thread, the `j`-th of its own."""
    return [
        "#pragma unroll",
        f"for (int j = 0; j < {count}; ++j) {{",
        *[f"    {line}" for line in lines],
        "}",
    ]


def along(into: str, x: str, y: str, tile: Tile, size: int) -> str:
    """Adds the products of rows of so many elements to `into[i][j]`."""
    steps_ = f"{DOWN}, {pitch(size) - _APART}, {pitch(size)}, {pitch(size)}"
    return f"kb::along<{tile.own}, {tile.each}, {steps_}>({into}, {x}, {y});"


def across(into: str, y: str, tile: Tile, size: int) -> str:
    """Adds the products of weights with rows of so many elements to `into[i][j]`."""
    each, together = vectors(size)
    sizes = f"{tile.own}, {each}, {together}, {DOWN}, {tile.columns}, {tile.apart}, {pitch(size)}"
    return f"kb::across<{sizes}>({into}, weights, {y});"


def kept(tile: Tile, value: str, turned: bool = False) -> list[str]:
    """Writes numbers `[i][j]` to the shared weights, their columns as rows if they are turned."""
    row, column = f"(ty + i * {DOWN}u)", f"(tx + j * {ACROSS}u)"
    place = f"{row} * {tile.apart}u + {column}"
    if turned:
        place = f"{column} * {tile.rows + _APART}u + {row}"
    return rows_of(tile, columns_of(tile.each, [f"weights[{place}] = {value};"]))


def written(name: str, spec: Spec, sums: str, row: str, factor: str) -> str:
    """Writes a row of a result."""
    each, together = vectors(spec.shape[3])
    kind, size = TYPES[spec.dtype], spec.shape[3]
    place = at(spec, "image", row, "head", "0")
    return f"kb::write_row<{each}, {together}, {size}, {kind}>({name} + {place}, {sums}, {factor});"


def begin(form: Form, rows: int, tile: Tile, areas: dict[str, int]) -> list[str]:
    """The lines that a kernel begins with.

    Args:
        form: what is computed.
        rows: of a head.
        tile: of a block.
        areas: name -> numbers, of the shared memory.
    """
    count = -(-rows // tile.rows)
    lines = [
        f"const unsigned tx = threadIdx.x % {ACROSS}u, ty = threadIdx.x / {ACROSS}u;",
        f"const unsigned row0 = {BLOCK} % {count}u * {tile.rows}u;",
        f"const unsigned head = {BLOCK} / {count}u % {form.heads}u;",
        f"const unsigned image = {BLOCK} / {count * form.heads}u;",
    ]
    place = 0
    for name, size in areas.items():
        lines.append(f"float* const {name} = (float*){SHARED} + {place};")
        place += size
    return lines


def kernel(
    form: Form, arrays: list[Array], functions: list[str], areas: dict[str, int], lines: list[str]
) -> Kernel:
    """A kernel with these functions and lines."""
    specs = [one.spec for one in arrays]
    head = libraries(specs, "memory.cuh", "matrices.cuh", "reduce.cuh", "attention.cuh")
    return Kernel(
        head,
        "\n".join([*functions, logit(form)]),
        tuple([pointer(one.spec, one.name, one.written) for one in arrays]),
        (),
        tuple(lines),
        THREADS,
        4 * sum(areas.values()),
        roomy=True,
    )
