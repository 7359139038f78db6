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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kbackend.engine.program import Spec
from kbackend_numba import threads
from kbackend_numba.codegen import product as writing
from kbackend_numba.codegen import summing
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.pack import Packing, panel_rows, write_pack
from kbackend_numba.codegen.product import Form
from kbackend_numba.codegen.target import host
from kbackend_numba.kernels.gemm_plan import panel_width
from kbackend_numba.kernels.gemm_plan import plan as make_plan
from kbackend_numba.native import Call

# Floating point operations per nanosecond on one thread, roughly.
FLOPS = 150.0
# With so few rows packing isn't worth it, unless each row of the second matrix has its own page;
# nor where these are so few panels long.
_FEW_ROWS, _NEAR, _PAGE = 40, 4, 4096
# Nanoseconds to pack a number, and to add one to others.
_PACKING, _ADDING = 0.3, 0.1


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
    if not m * n * sizes_of(stack):
        return Product(())
    itemsize = 4 if dtype == "float32" else 8
    lanes = host().lanes(itemsize)
    packing = None
    if not b.panel and not _in_place(b, m, n, itemsize):
        packing = _along(b, k, n)
    plan = make_plan(shape, stack[0] * stack[1], itemsize, packing is not None, b.panel)
    width = plan.width
    form = Form(
        plan.rows, plan.tall > 0, plan.vectors, _along(a, m, k), packing, n % width != 0, dtype
    )
    if b.panel:
        panel_step, panel_row = b.column, b.row
    elif packing is not None:
        panel_step, panel_row = width * panel_rows(plan.k_block, lanes), width
    else:
        panel_step, panel_row = width, b.row
    begin_with = summing.RESULT if add else summing.ZERO if bias is None else summing.BIAS
    into, scratch_specs, after = c, [], []
    if packing is not None:
        scratch_specs.append(Spec((threads.count(), panel_step), dtype))
    sizes = {
        "n": n, "k": k, "k_block": plan.k_block, "k_group": plan.k_group, "tall": plan.tall,
        "tiles": plan.tiles, "tiles_item": plan.tiles_item, "panels": plan.panels,
        "panels_item": plan.panels_item, "outer": stack[0], "inner": stack[1],
        "a": a.offset, "a_outer": a.outer, "a_inner": a.inner, "a_row": a.row,
        "a_column": a.column,
        "b": b.offset, "b_outer": b.outer, "b_inner": b.inner, "b_row": b.row,
        "b_column": b.column, "panel_step": panel_step, "panel_row": panel_row,
        "bias": 0 if bias is None else bias[1], "begin_with": begin_with,
    }  # fmt: skip
    bias_array = c.array if bias is None else bias[0]
    if plan.groups > 1:
        into = Matrix(scratch + len(scratch_specs), n, 1, 0, stack[1] * m * n, m * n)
        scratch_specs.append(Spec((plan.groups, stack[0] * stack[1] * m * n), dtype))
        after.append(_sum_of_groups(m, n, plan.groups, into, c, stack, bias_array, sizes, dtype))
        sizes["begin_with"] = summing.ZERO
    sizes |= {
        "c": into.offset, "c_group": stack[0] * stack[1] * m * n, "c_outer": into.outer,
        "c_inner": into.inner, "c_row": into.row,
    }  # fmt: skip
    arrays = (
        into.array, a.array, b.array, bias_array, c.array if packing is None else scratch,
    )  # fmt: skip
    flops = 2.0 * m * n * k * stack[0] * stack[1]
    call = Call(
        function(("product", *form), lambda code: writing.write_product(code, form)),
        arrays, tuple([sizes[name] for name in writing.SIZES]), plan.items,
        max(1.0, flops / max(1, plan.items) / FLOPS),
    )  # fmt: skip
    return Product((call, *after), tuple(scratch_specs))


def _in_place(b: Matrix, m: int, n: int, itemsize: int) -> bool:
    """Whether tiles may as well read the second matrix where it is.

    Rows that lie far from each other drive each other out of the first cache.
    """
    width = panel_width(n, itemsize)
    few = m <= _FEW_ROWS and b.row * itemsize <= _PAGE
    return b.column == 1 and n % width == 0 and (few or b.row <= _NEAR * width)


def _sum_of_groups(
    m: int,
    n: int,
    groups: int,
    parts: Matrix,
    c: Matrix,
    stack: tuple[int, int],
    bias: int,
    sizes: Mapping[str, int],
    dtype: str,
) -> Call:
    """The call that adds the results of groups."""
    own = {
        "n": n, "m": m, "groups": groups, "inner": stack[1], "group": sizes_of(stack) * m * n,
        "c": c.offset, "c_outer": c.outer, "c_inner": c.inner, "c_row": c.row,
        "bias": sizes["bias"], "begin_with": sizes["begin_with"],
    }  # fmt: skip
    return Call(
        function(("sum of groups", dtype), lambda code: summing.write_sum(code, dtype)),
        (c.array, parts.array, bias), tuple([own[name] for name in summing.SIZES]),
        sizes_of(stack) * m, max(1.0, n * (groups + 1) * _ADDING),
    )  # fmt: skip


def sizes_of(stack: tuple[int, int]) -> int:
    """How many matrices a stack has."""
    return stack[0] * stack[1]


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
