"""Packing a matrix into panels, which a tile reads from end to end.

A panel is a group of neighbouring columns: its rows lie one behind the other. What is missing in
the last panel is filled with zeros.
"""

from __future__ import annotations

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.value import Address, Value


def pack(
    code: Code,
    dtype: str,
    how: str,
    width: int,
    source: Address,
    row: Value,
    column: Value,
    rows: Value,
    columns: Value,
    panels: Address,
    panel_step: Value,
) -> None:
    """Writes the loops that pack a matrix.

    Args:
        code: where to write.
        dtype: of the numbers.
        how: "rows" if the numbers of a row lie side by side, else "columns".
        width: columns of a panel.
        source: of the matrix.
        row: elements from one row to the next.
        column: elements from one column to the next.
        rows: how many.
        columns: how many.
        panels: where to pack.
        panel_step: elements from one panel to the next.
    """
    lanes = code.target.lanes(4 if dtype == "float32" else 8)
    with code.loop(0, columns, width) as first:
        panel = code.offset(panels, first // width * panel_step, dtype)
        here = code.offset(source, first * column, dtype)
        with code.loop(0, rows) as i:
            if how == "rows":
                for j in range(0, width, lanes):
                    mask = code.first(columns - first - j, lanes)
                    value = code.load(here, i * row + j, dtype, lanes, mask)
                    code.store(value, panel, i * width + j)
            else:
                with code.loop(0, width) as j:
                    inside = first + j < columns
                    found = code.var(code.number(0.0, dtype))
                    with code.when(inside):
                        found.set(code.load(here, i * row + j * column, dtype))
                    code.store(found.value, panel, i * width + j)


def write_pack(code: Code, how: str, width: int, dtype: str) -> None:
    """Writes the function whose items are the panels of a stack of matrices.

    Its arrays are the panels and the matrices; its sizes their rows and columns, the elements to
    the first matrix, from one to the next in the outer and in the inner dimension, from one row to
    the next and from one column to the next, and the length of the inner dimension.
    """
    rows, columns, start, outer, inner, row, column, length = [code.size(i) for i in range(8)]
    panels = (columns + (width - 1)) // width
    step = rows * width
    with code.loop(code.begin, code.end) as item:
        matrix, panel = item // panels, item % panels
        first = panel * width
        place = start + matrix // length * outer + matrix % length * inner + first * column
        pack(
            code, dtype, how, width, code.offset(code.array(1), place, dtype), row, column, rows,
            code.minimum(columns - first, code.number(width)),
            code.offset(code.array(0), item * step, dtype), step,
        )  # fmt: skip
