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

`add=True` adds the product to what `c` holds, and `ending` is what is done elementwise to the
results while they are near.

A matrix that is the second one of many products, as the weights of a recurrent layer are, is packed
once: `packed` gives the calls that do it, and a `Matrix` to hand to `product` in its place.
"""

from __future__ import annotations

from dataclasses import dataclass

from kbackend.engine.program import Ints, Spec
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.pack import Packing, panel_rows, write_pack
from kbackend_numba.codegen.target import host
from kbackend_numba.kernels.ending import Ending
from kbackend_numba.kernels.gemm_calls import End, Matrix, Problem, along, blocks, inner_products
from kbackend_numba.kernels.gemm_plan import panel_width
from kbackend_numba.native import Call

__all__ = ["Matrix", "Packed", "Product", "packed", "product"]

# Rows up to which columns that lie in one piece each are multiplied as they are.
_INNER_ROWS = 2
# Nanoseconds to pack a number.
_PACKING = 0.3


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
        add: whether to add to what `c` holds.
        ending: what becomes of the results, which must be all of their array.
        operands: positions of the other arrays of the ending.
    """
    m, n, k = shape
    problem = Problem(m, n, k, a, b, c, stack, dtype, End(add, ending, operands))
    if not m * n * problem.matrices:
        return Product(())
    if n == 1 < m and c.row == 1 and not b.panel:
        # A column is a row of the transposed product.
        whole = c._replace(row=m, column=1)
        problem = problem._replace(m=1, n=m, a=_transposed(b), b=_transposed(a), c=whole)
    second = problem.b
    if problem.m <= _INNER_ROWS and second.row == 1 and not second.panel:
        if problem.a.column == 1 or k == 1:
            return Product((inner_products(problem),))
    return Product(*blocks(problem, scratch))


def _transposed(matrix: Matrix) -> Matrix:
    return matrix._replace(row=matrix.column, column=matrix.row)


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
    packing = Packing(along(b, k, n), width, dtype)
    step = width * panel_rows(k, lanes)
    sizes = (k, n, b.offset, b.outer, b.inner, b.row, b.column, stack[1], step)
    items = stack[0] * stack[1] * panels
    call = Call(
        function(("pack", *packing), lambda code: write_pack(code, packing)),
        (scratch, b.array), sizes, items, max(1.0, k * width * _PACKING),
    )  # fmt: skip
    matrix = Matrix(scratch, width, step, 0, stack[1] * panels * step, panels * step, width)
    return Packed((call,), (Spec((max(1, items * step),), dtype),), matrix)
