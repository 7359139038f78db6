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

`bias` is a vector that is added to each row, `add=True` adds the product to what `c` holds, and
`ending` is what is done elementwise to the results while they are near.

A matrix that is the second one of many products, as the weights of a recurrent layer are, is packed
once: `packed` gives the calls that do it, and a `Matrix` to hand to `product` in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kbackend.engine.program import Ints, Spec
from kbackend_numba import threads
from kbackend_numba.codegen import inner, summing
from kbackend_numba.codegen import product as writing
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.finish import Finish
from kbackend_numba.codegen.pack import Packing, panel_rows, write_pack
from kbackend_numba.codegen.product import Form
from kbackend_numba.codegen.target import host
from kbackend_numba.kernels.ending import Ending
from kbackend_numba.kernels.gemm_plan import panel_width
from kbackend_numba.kernels.gemm_plan import plan as make_plan
from kbackend_numba.native import Call

# Floating point operations per nanosecond on one thread, roughly.
FLOPS = 150.0
# With so few rows packing isn't worth it, unless each row of the second matrix has its own page;
# nor where these are so few panels long.
_FEW_ROWS, _NEAR, _PAGE = 40, 4, 4096
# Bytes of a vector from which on masks cost little.
_MASKING = 32
# Panels from which on the first matrix may be packed. Up to that many it is asked for ahead of
# time, if it has more bytes than a cache that is near.
_MANY_PANELS, _NEARBY = 8, 512 << 10
# Rows up to which columns that lie in one piece each are multiplied as they are, and how many
# numbers an item reads then.
_INNER_ROWS, _INNER_ITEM = 2, 1 << 16
# Nanoseconds to pack a number, to add one to others, to read one.
_PACKING, _ADDING, _READING = 0.3, 0.1, 0.1


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
    ending: Ending | None = None,
    operands: Ints = (),
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
        ending: what becomes of the results, which must be all of their array.
        operands: positions of the other arrays of the ending.
    """
    m, n, k = shape
    matrices = stack[0] * stack[1]
    if not m * n * matrices:
        return Product(())
    if n == 1 < m and c.row == 1 and bias is None and not b.panel:
        # A column is a row of the transposed product.
        return product(
            (1, m, k), _transposed(b), _transposed(a), c._replace(row=m, column=1),
            scratch=scratch, stack=stack, dtype=dtype, add=add, ending=ending, operands=operands,
        )  # fmt: skip
    end = _End(summing.RESULT if add else summing.ZERO if bias is None else summing.BIAS,
               (c.array, 0) if bias is None else bias, ending, operands)  # fmt: skip
    if m <= _INNER_ROWS and b.row == 1 and not b.panel and (a.column == 1 or k == 1):
        return Product((_inner_products(shape, a, b, c, stack, dtype, end),))
    itemsize = 4 if dtype == "float32" else 8
    packing = None
    if not b.panel and not _in_place(b, m, n, itemsize):
        packing = _along(b, k, n)
    plan = make_plan(shape, matrices, itemsize, packing is not None, b.panel)
    copied = plan.panels >= _MANY_PANELS and _far_apart(a, m, k, itemsize)
    # To ask for numbers that are near already only takes time.
    asking = plan.panels <= _MANY_PANELS and m * k * matrices * itemsize > _NEARBY
    tail = n % plan.width != 0
    along = _along(a, m, k)
    form = Form(
        plan.rows, plan.tall > 0, plan.vectors, along, copied, asking, packing, tail,
        bool(b.panel) or packing is not None, dtype,
    )  # fmt: skip
    lanes = host().lanes(itemsize)
    rows = panel_rows(plan.k_block, lanes)
    specs, room = [], [0, 0]
    step, row = (b.column, b.row) if b.panel else (plan.width, b.row)
    if packing is not None:
        step, row = plan.width * rows, plan.width
        room[0] = scratch
        specs.append(Spec((threads.count(), step), dtype))
    tile_step = rows * writing.tile_width(plan.rows + form.two_heights, lanes)
    if copied:
        room[1] = scratch + len(specs)
        specs.append(Spec((threads.count(), plan.tiles_item * tile_step), dtype))
    groups = Matrix(scratch + len(specs), n, 1, 0, stack[1] * m * n, m * n)
    grouped = plan.groups > 1
    first, now = (groups, _End(summing.ZERO, (c.array, 0))) if grouped else (c, end)
    sizes = {
        "m": m, "n": n, "k": k, "k_block": plan.k_block, "k_group": plan.k_group,
        "tall": plan.tall, "tiles": plan.tiles, "tiles_item": plan.tiles_item,
        "panels": plan.panels, "panels_item": plan.panels_item, "outer": stack[0],
        "inner": stack[1], "tile_step": tile_step,
        **_told("a", a), "a_row": a.row, "a_column": a.column,
        **_told("b", b), "b_row": b.row, "b_column": b.column,
        **_told("c", first), "c_row": first.row, "c_group": matrices * m * n,
        "panel_step": step, "panel_row": row, "bias": now.bias[1], "begin_with": now.begin_with,
    }  # fmt: skip
    made = function(
        ("product", *form, now.ending),
        lambda code: writing.write_product(code, form, now.writer(code, len(writing.ARRAYS))),
    )
    arrays = (first.array, a.array, b.array, now.bias[0], *room)
    cost = (2.0 * k / FLOPS + now.cost) * m * n * matrices / plan.items
    calls = [
        Call(made, (*arrays, *now.operands), _in_order(writing.SIZES, sizes), plan.items, cost)
    ]
    if grouped:
        specs.append(Spec((plan.groups, matrices * m * n), dtype))
        calls.append(_sum_of_groups((m, n), plan.groups, groups.array, c, stack, dtype, end))
    return Product(tuple(calls), tuple(specs))


class _End(NamedTuple):
    """What sums begin with, and what becomes of them in the end.

    Attributes:
        begin_with: see `codegen.summing`.
        bias: position of an array and offset in it.
        ending: what becomes of results.
        operands: positions of the other arrays of the ending.
    """

    begin_with: int
    bias: tuple[int, int]
    ending: Ending | None = None
    operands: Ints = ()

    @property
    def cost(self) -> float:
        """Nanoseconds for an element."""
        return 0.0 if self.ending is None else self.ending.cost

    def writer(self, code: Code, first: int) -> Finish | None:
        """What writes the ending, whose arrays begin at position `first` of the call's."""
        return None if self.ending is None else self.ending.writer(code, first)


def _told(name: str, matrix: Matrix) -> dict[str, int]:
    """What the code is told of the places of a stack's matrices."""
    return {name: matrix.offset, f"{name}_outer": matrix.outer, f"{name}_inner": matrix.inner}


def _in_order(names: tuple[str, ...], sizes: Mapping[str, int]) -> Ints:
    return tuple([sizes[name] for name in names])


def _far_apart(a: Matrix, m: int, k: int, itemsize: int) -> bool:
    """Whether the first matrix is better packed: what a tile reads would drive itself out of the
    first cache, or lie on many pages."""
    along = _along(a, m, k)
    if along == "rows":
        return a.row * itemsize % _PAGE == 0
    return along == "columns" and a.column * itemsize >= _PAGE // 4


def _in_place(b: Matrix, m: int, n: int, itemsize: int) -> bool:
    """Whether tiles may as well read the second matrix where it is.

    Rows that lie far from each other drive each other out of the first cache.
    """
    if b.column != 1:
        return False
    width = panel_width(n, itemsize, m)
    few = m <= _FEW_ROWS and b.row * itemsize <= _PAGE
    if n % width:
        # What isn't there is masked: cheap where vectors are long.
        return few and n > 1 and host().width >= _MASKING
    return few or m <= 4 or b.row <= _NEAR * width


def _inner_products(
    shape: tuple[int, int, int],
    a: Matrix,
    b: Matrix,
    c: Matrix,
    stack: tuple[int, int],
    dtype: str,
    end: _End,
) -> Call:
    """The call for few rows by columns that lie in one piece each."""
    m, n, k = shape
    matrices = stack[0] * stack[1]
    # Of each block all columns are read: enough to be worth a call.
    columns = max(1, min(n, _INNER_ITEM // max(1, k)))
    sizes = {
        "n": n, "k": k, "columns_item": columns, "outer": stack[0], "inner": stack[1],
        **_told("a", a), "a_row": a.row, **_told("b", b), "b_column": b.column,
        **_told("c", c), "c_row": c.row, "bias": end.bias[1], "begin_with": end.begin_with,
    }  # fmt: skip
    made = function(
        ("inner products", m, dtype, end.ending),
        lambda code: inner.write_inner(code, m, dtype, end.writer(code, len(inner.ARRAYS))),
    )
    arrays = (c.array, a.array, b.array, end.bias[0], *end.operands)
    items = matrices * -(-n // columns)
    cost = columns * (k * _READING + m * end.cost)
    return Call(made, arrays, _in_order(inner.SIZES, sizes), items, cost)


def _transposed(matrix: Matrix) -> Matrix:
    return matrix._replace(row=matrix.column, column=matrix.row)


def _sum_of_groups(
    shape: tuple[int, int],
    groups: int,
    parts: int,
    c: Matrix,
    stack: tuple[int, int],
    dtype: str,
    end: _End,
) -> Call:
    """The call that adds the results of groups."""
    m, n = shape
    rows = stack[0] * stack[1] * m
    sizes = {
        "n": n, "m": m, "groups": groups, "inner": stack[1], "group": rows * n,
        **_told("c", c), "c_row": c.row, "bias": end.bias[1], "begin_with": end.begin_with,
    }  # fmt: skip
    made = function(
        ("sum of groups", dtype, end.ending),
        lambda code: summing.write_sum(code, dtype, end.writer(code, len(summing.ARRAYS))),
    )
    arrays = (c.array, parts, end.bias[0], *end.operands)
    cost = n * ((groups + 1) * _ADDING + end.cost)
    return Call(made, arrays, _in_order(summing.SIZES, sizes), rows, cost)


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
    itemsize = 4 if dtype == "float32" else 8
    lanes, width = host().lanes(itemsize), panel_width(n, itemsize)
    panels = -(-n // width)
    packing = Packing(_along(b, k, n), width, dtype)
    step = width * panel_rows(k, lanes)
    sizes = (k, n, b.offset, b.outer, b.inner, b.row, b.column, stack[1], step)
    items = stack[0] * stack[1] * panels
    call = Call(
        function(("pack", *packing), lambda code: write_pack(code, packing)),
        (scratch, b.array), sizes, items, max(1.0, k * width * _PACKING),
    )  # fmt: skip
    matrix = Matrix(scratch, width, step, 0, stack[1] * panels * step, panels * step, width)
    return Packed((call,), (Spec((max(1, items * step),), dtype),), matrix)


def _along(matrix: Matrix, rows: int, columns: int) -> str:
    """What lies side by side in a matrix; see `Form`."""
    if matrix.column == 1 or columns == 1:
        return "rows"
    return "columns" if matrix.row == 1 or rows == 1 else ""
