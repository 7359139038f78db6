"""The calls of a matrix product: by blocks, or as inner products; and how that is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kbackend.engine.program import Ints, Spec
from kbackend_numba import threads
from kbackend_numba.codegen import inner, summing
from kbackend_numba.codegen import product as writing
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.finish import Finish
from kbackend_numba.codegen.pack import panel_rows
from kbackend_numba.codegen.target import host
from kbackend_numba.kernels.ending import Ending
from kbackend_numba.kernels.gemm_plan import READING, Plan, panel_width, plan
from kbackend_numba.native import Call

# Floating point operations per nanosecond on one thread, roughly.
FLOPS = 150.0
# With so few rows packing isn't worth it, unless each row of the second matrix has its own page;
# nor where these are so few panels long.
_FEW_ROWS, _NEAR, _PAGE = 40, 4, 4096
# Rows with which a panel is read so seldom that packing never is.
_VERY_FEW_ROWS = 4
# Bytes of a vector from which on masks cost little.
_MASKING = 32
# Panels from which on the first matrix may be packed. Up to that many it is asked for ahead of
# time, if it has more bytes than a cache that is near.
_MANY_PANELS, _NEARBY = 8, 512 << 10
# Tiles of a panel that are many, and bytes of panels that are few.
_MANY_TILES, _SMALL = 16, 16 << 10
# Numbers that an item of inner products reads.
_INNER_ITEM = 1 << 16
# Nanoseconds to add a number to others, and to read one.
_ADDING, _READING = 0.1, 0.1


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


class End(NamedTuple):
    """What sums begin with, and what becomes of them in the end.

    Attributes:
        add: whether they are added to what stands in the result.
        ending: what becomes of results.
        operands: positions of the other arrays of the ending.
    """

    add: bool = False
    ending: Ending | None = None
    operands: Ints = ()

    @property
    def cost(self) -> float:
        """Nanoseconds for an element."""
        return 0.0 if self.ending is None else self.ending.cost

    def writer(self, code: Code, first: int) -> Finish | None:
        """What writes the ending, whose arrays begin at position `first` of the call's."""
        return None if self.ending is None else self.ending.writer(code, first)


class Problem(NamedTuple):
    """A stack of products `c = a @ b`.

    Attributes:
        m: rows of the results.
        n: their columns.
        k: summands.
        a: the first matrices.
        b: the second matrices.
        c: the results.
        stack: matrices in the outer and the inner dimension.
        dtype: of the numbers.
        end: what sums begin with, and what becomes of them.
    """

    m: int
    n: int
    k: int
    a: Matrix
    b: Matrix
    c: Matrix
    stack: tuple[int, int]
    dtype: str
    end: End

    @property
    def matrices(self) -> int:
        """How many matrices the stack has."""
        return self.stack[0] * self.stack[1]

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return 4 if self.dtype == "float32" else 8


def along(matrix: Matrix, rows: int, columns: int) -> str:
    """What lies side by side in a matrix; see `codegen.product.Form`."""
    if matrix.column == 1 or columns == 1:
        return "rows"
    return "columns" if matrix.row == 1 or rows == 1 else ""


def blocks(problem: Problem, scratch: int) -> tuple[tuple[Call, ...], tuple[Spec, ...]]:
    """The calls that compute a product block by block, and the scratch arrays that they need.

    Args:
        problem: the product.
        scratch: position of the first scratch array.
    """
    m, n, k, a, b, c, stack, dtype, end = problem
    lanes = host().lanes(problem.itemsize)
    packing = None if b.panel or _in_place(problem) else along(b, k, n)
    cut = plan((m, n, k), problem.matrices, problem.itemsize, packing is not None, b.panel, end.add)
    form = writing.Form(
        rows=cut.rows, two_heights=cut.tall > 0, vectors=cut.vectors, along=along(a, m, k),
        copied=cut.panels >= _MANY_PANELS and _far_apart(problem),
        # To ask for numbers that are near already only takes time.
        asking=cut.panels <= _MANY_PANELS
        and m * k * problem.matrices * problem.itemsize > _NEARBY,
        packing=packing, tail=n % cut.width != 0, padded=bool(b.panel) or packing is not None,
        resumes=cut.resumes, sweeps=_sweeps(problem, cut), dtype=dtype,
    )  # fmt: skip
    rows = panel_rows(cut.k_block, lanes)
    specs, room = [], [0, 0]
    step, row = (b.column, b.row) if b.panel else (cut.width, b.row)
    if packing is not None:
        step, row = cut.width * rows, cut.width
        room[0] = scratch
        panels = cut.panels_item if form.sweeps else 1
        specs.append(Spec((threads.count(), panels * step), dtype))
    tile_step = rows * writing.tile_width(cut.rows + form.two_heights, lanes)
    if form.copied:
        room[1] = scratch + len(specs)
        specs.append(Spec((threads.count(), (cut.tiles_item + 1) * tile_step), dtype))
    whole = problem.matrices * m * n
    if cut.groups > 1:
        c = Matrix(scratch + len(specs), n, 1, 0, stack[1] * m * n, m * n)
        end = End()
        specs.append(Spec((cut.groups, whole), dtype))
    sizes = {
        "m": m, "n": n, "k": k, "k_block": cut.k_block, "k_group": cut.k_group, "tall": cut.tall,
        "tiles": cut.tiles, "tiles_item": cut.tiles_item, "row_blocks": cut.row_blocks,
        "panels": cut.panels,
        "panels_item": cut.panels_item, "outer": stack[0], "inner": stack[1],
        **_told("a", a), "a_row": a.row, "a_column": a.column,
        **_told("b", b), "b_row": b.row, "b_column": b.column,
        **_told("c", c), "c_row": c.row, "c_group": whole,
        "panel_step": step, "panel_row": row, "tile_step": tile_step, "add": int(end.add),
    }  # fmt: skip
    made = function(
        ("product", *form, end.ending),
        lambda code: writing.write_product(code, form, end.writer(code, len(writing.ARRAYS))),
    )
    arrays = (c.array, a.array, b.array, *room, *end.operands)
    # Lanes beyond the last column take their time, too; and few rows wait for the second matrix.
    columns = problem.matrices * cut.panels * cut.width
    cost = (max(2.0 * m, READING) * k * columns / FLOPS + end.cost * whole) / cut.items
    calls = [Call(made, arrays, _in_order(writing.SIZES, sizes), cut.items, cost)]
    if cut.groups > 1:
        calls.append(_sum_of_groups(problem, cut.groups, c.array))
    return tuple(calls), tuple(specs)


def _sweeps(problem: Problem, cut: Plan) -> bool:
    """Whether all panels of a block are packed before the first tile, so that results are written
    row by row: where a panel has many tiles, or all panels are so small that they stay near."""
    size = cut.panels_item * cut.width * cut.k_block * problem.itemsize
    return cut.tiles_item >= _MANY_TILES or size <= _SMALL


def _far_apart(problem: Problem) -> bool:
    """Whether the first matrix is better packed: what a tile reads would drive itself out of the
    first cache, or lie on many pages."""
    a, how = problem.a, along(problem.a, problem.m, problem.k)
    if how == "rows":
        return a.row * problem.itemsize % _PAGE == 0
    return how == "columns" and a.column * problem.itemsize >= _PAGE // 8


def _in_place(problem: Problem) -> bool:
    """Whether tiles may as well read the second matrix where it is.

    Rows that lie far from each other drive each other out of the first cache.
    """
    m, n, b, itemsize = problem.m, problem.n, problem.b, problem.itemsize
    if b.column != 1:
        return False
    width = panel_width(n, itemsize, m)
    few = m <= _FEW_ROWS and b.row * itemsize <= _PAGE
    if n % width:
        # What isn't there is masked: cheap where vectors are long.
        return few and n > 1 and host().width >= _MASKING
    return few or m <= _VERY_FEW_ROWS or b.row <= _NEAR * width


def _sum_of_groups(problem: Problem, groups: int, parts: int) -> Call:
    """The call that adds the results of groups."""
    m, n, _, _, _, c, stack, dtype, end = problem
    rows = problem.matrices * m
    sizes = {
        "n": n, "m": m, "groups": groups, "inner": stack[1], "group": rows * n,
        **_told("c", c), "c_row": c.row, "add": int(end.add),
    }  # fmt: skip
    made = function(
        ("sum of groups", dtype, end.ending),
        lambda code: summing.write_sum(code, dtype, end.writer(code, len(summing.ARRAYS))),
    )
    cost = n * ((groups + 1) * _ADDING + end.cost)
    arrays = (c.array, parts, *end.operands)
    return Call(made, arrays, _in_order(summing.SIZES, sizes), rows, cost)


def inner_products(problem: Problem) -> Call:
    """The call for few rows by columns that lie in one piece each."""
    m, n, k, a, b, c, stack, dtype, end = problem
    columns = max(1, min(n, _INNER_ITEM // max(1, k)))
    sizes = {
        "n": n, "k": k, "columns_item": columns, "outer": stack[0], "inner": stack[1],
        **_told("a", a), "a_row": a.row, **_told("b", b), "b_column": b.column,
        **_told("c", c), "c_row": c.row, "add": int(end.add),
    }  # fmt: skip
    made = function(
        ("inner products", m, dtype, end.ending),
        lambda code: inner.write_inner(code, m, dtype, end.writer(code, len(inner.ARRAYS))),
    )
    items = problem.matrices * -(-n // columns)
    cost = columns * (k * _READING + m * end.cost)
    arrays = (c.array, a.array, b.array, *end.operands)
    return Call(made, arrays, _in_order(inner.SIZES, sizes), items, cost)


def _told(name: str, matrix: Matrix) -> dict[str, int]:
    """What the code is told of the places of a stack's matrices."""
    return {name: matrix.offset, f"{name}_outer": matrix.outer, f"{name}_inner": matrix.inner}


def _in_order(names: tuple[str, ...], sizes: Mapping[str, int]) -> Ints:
    return tuple([sizes[name] for name in names])
