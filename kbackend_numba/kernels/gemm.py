"""Matrix products as calls, for `dot` and for kernels that have products inside.

`product` gives the calls that compute `c = a @ b` for a stack of matrices, and the scratch arrays
that they need. A kernel that is made of calls puts them among its own:

    a = Matrix(array=1, row=k, column=1)
    b = Matrix(array=2, row=n, column=1)
    c = Matrix(array=0, row=n)
    made = product((m, n, k), a, b, c, scratch=4)
    return native([*before, *made.calls, *after], [*own_scratch, *made.scratch])

Here array 0 is the output, 1 and 2 are inputs, 3 is scratch of the kernel's own, and the scratch
of the product begins at position 4. Matrices may be parts of arrays: `offset` is where the first
one begins, and `row` and `column` are free; only the rows of `c` must be contiguous. A stack has up
to two dimensions, each with steps of its own in each array (0 for a matrix that all share).

`bias` is a vector that is added to each row, `add=True` adds the product to what `c` holds.

A matrix that is the second one of many products, as the weights of a recurrent layer are, is packed
once: `packed` gives the calls that do it, and a `Matrix` to hand to `product` in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from kbackend.engine.program import Spec
from kbackend_numba import threads
from kbackend_numba.codegen import product as writing
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.pack import write_pack
from kbackend_numba.codegen.product import Form
from kbackend_numba.codegen.target import host
from kbackend_numba.native import Call

# Floating point operations per nanosecond on one thread, roughly.
FLOPS = 150.0
# Bytes of a panel that should stay in the first cache, and of packed panels in the second.
_FIRST_CACHE, _SECOND_CACHE = 32 << 10, 1 << 20
# Operations that an item should have at least, and items that are enough for any machine.
_ITEM_FLOPS, _ENOUGH_ITEMS = 1 << 20, 256
# Nanoseconds to pack a number.
_PACKING = 0.3


class Matrix(NamedTuple):
    """A stack of matrices in an array. Steps are counted in elements.

    Attributes:
        array: position of the array among outputs, inputs and scratch.
        row: from one row to the next.
        column: from one column to the next.
        offset: to the first element of the first matrix.
        outer: from one matrix to the next in the outer dimension of the stack.
        inner: from one matrix to the next in the inner dimension.
        panel: columns of a panel, if the matrix is packed (see `packed`), else 0. Then `row` and
            `column` are the elements from one row and one panel to the next.
    """

    array: int
    row: int
    column: int = 1
    offset: int = 0
    outer: int = 0
    inner: int = 0
    panel: int = 0


@dataclass(frozen=True)
class Product:
    """How to compute a product.

    Attributes:
        calls: in their order.
        scratch: the arrays that they need.
    """

    calls: tuple[Call, ...]
    scratch: tuple[Spec, ...] = ()


@dataclass(frozen=True)
class Packed:
    """How to pack a matrix.

    Attributes:
        calls: in their order.
        scratch: the array that it is packed into.
        matrix: to hand to `product` instead.
    """

    calls: tuple[Call, ...]
    scratch: tuple[Spec, ...]
    matrix: Matrix


def product(
    shape: tuple[int, int, int],
    a: Matrix,
    b: Matrix,
    c: Matrix,
    *,
    scratch: int,
    stack: tuple[int, int] = (1, 1),
    dtype: str = "float32",
    bias: tuple[int, int] | None = None,
    add: bool = False,
) -> Product:
    """The calls for `c = a @ b`.

    Args:
        shape: rows of `a`, columns of `b`, columns of `a`.
        a: the first matrices.
        b: the second matrices.
        c: the results, whose columns lie side by side.
        scratch: position of the first scratch array of the product.
        stack: how many matrices, in the outer and the inner dimension.
        dtype: "float32" or "float64".
        bias: position of an array, and offset in it, of a vector to add to each row.
        add: whether to add to what `c` holds.
    """
    m, n, k = shape
    lanes = host().lanes(4 if dtype == "float32" else 8)
    vectors = b.panel // lanes if b.panel else _vectors(-(-n // lanes))
    width = lanes * vectors
    most = _most_rows(vectors)
    tiles = -(-m // most)
    rows = m // tiles if tiles else 1
    tall = m - rows * tiles
    panels = -(-n // width)
    if b.panel or (b.column == 1 and n % width == 0):
        packing = ""
    else:
        packing = "rows" if b.column == 1 else "columns"
    form = Form(rows, tall > 0, vectors, packing, n % width != 0, dtype)
    itemsize = 4 if dtype == "float32" else 8
    k_block = _even(k, _FIRST_CACHE // (width * itemsize))
    matrices = stack[0] * stack[1]
    panels_item, tiles_item = _items(matrices, panels, tiles, 2 * width * rows * k, bool(packing))
    if packing:
        panels_item = max(1, min(panels_item, _SECOND_CACHE // max(1, width * k * itemsize)))
    if b.panel:
        panel_step, panel_row = b.column, b.row
    elif packing:
        panel_step, panel_row = width * k, width
    else:
        panel_step, panel_row = width, b.row
    begin_with = writing.RESULT if add else writing.ZERO if bias is None else writing.BIAS
    sizes = {
        "n": n, "k": k, "k_block": k_block, "k_group": k, "tall": tall, "tiles": tiles,
        "tiles_item": tiles_item, "panels": panels, "panels_item": panels_item,
        "outer": stack[0], "inner": stack[1],
        "a": a.offset, "a_outer": a.outer, "a_inner": a.inner, "a_row": a.row,
        "a_column": a.column,
        "b": b.offset, "b_outer": b.outer, "b_inner": b.inner, "b_row": b.row,
        "b_column": b.column,
        "c": c.offset, "c_group": 0, "c_outer": c.outer, "c_inner": c.inner, "c_row": c.row,
        "panel_step": panel_step, "panel_row": panel_row,
        "bias": 0 if bias is None else bias[1], "begin_with": begin_with,
    }  # fmt: skip
    specs = []
    if packing:
        specs.append(Spec((threads.count(), max(1, panels_item * panel_step)), dtype))
    arrays = (
        c.array, a.array, b.array, c.array if bias is None else bias[0],
        scratch if packing else c.array,
    )  # fmt: skip
    across = -(-panels // panels_item)
    down = -(-tiles // tiles_item)
    items = matrices * across * down
    cost = 2.0 * m * n * k * matrices / max(1, items) / FLOPS
    call = Call(
        function(("product", *form), lambda code: writing.write_product(code, form)),
        arrays, tuple([sizes[name] for name in writing.SIZES]), items, max(1.0, cost),
    )  # fmt: skip
    return Product((call,), tuple(specs))


def packed(
    k: int, n: int, b: Matrix, *, scratch: int, stack: tuple[int, int] = (1, 1),
    dtype: str = "float32",
) -> Packed:  # fmt: skip
    """The calls that pack second matrices, for many products with them.

    Args:
        k: rows of a matrix.
        n: columns of a matrix.
        b: the matrices.
        scratch: position of the scratch array that they are packed into.
        stack: how many matrices, in the outer and the inner dimension.
        dtype: "float32" or "float64".
    """
    lanes = host().lanes(4 if dtype == "float32" else 8)
    width = lanes * _vectors(-(-n // lanes))
    panels = -(-n // width)
    how = "rows" if b.column == 1 else "columns"
    sizes = (k, n, b.offset, b.outer, b.inner, b.row, b.column, stack[1])
    items = stack[0] * stack[1] * panels
    call = Call(
        function(("pack", how, width, dtype), lambda code: write_pack(code, how, width, dtype)),
        (scratch, b.array), sizes, items, max(1.0, k * width * _PACKING),
    )  # fmt: skip
    step = k * width
    matrix = Matrix(scratch, width, step, 0, stack[1] * panels * step, panels * step, width)
    return Packed((call,), (Spec((max(1, items * step),), dtype),), matrix)


def _vectors(count: int) -> int:
    """How many vectors wide tiles are, where a row of the result has `count` of them."""
    if count < 6:
        return max(1, count if count != 4 else 2)
    return 3 if count % 3 == 0 and count % 2 else 2


def _most_rows(vectors: int) -> int:
    """How many rows fit into the registers, beside a row of vectors and a number."""
    return max(1, min(14, (host().registers - 2 - vectors) // vectors))


def _even(total: int, most: int) -> int:
    """The length of parts that are as long as they may, and about equal."""
    parts = max(1, -(-total // most))
    return max(1, -(-total // parts))


def _items(matrices: int, panels: int, tiles: int, flops: int, packing: bool) -> tuple[int, int]:
    """How many panels and tiles an item has."""
    wanted = max(1, min(_ENOUGH_ITEMS, matrices * panels * tiles * flops // _ITEM_FLOPS))
    wanted = -(-wanted // matrices)
    across = min(panels, wanted)
    down = min(tiles, -(-wanted // max(1, across)))
    return max(1, -(-panels // max(1, across))), max(1, -(-tiles // max(1, down)))
