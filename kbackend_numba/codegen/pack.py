"""Packing a matrix into panels, which a tile reads from end to end.

A panel is a group of neighbouring columns: its rows lie one behind the other. Where the last panel
has columns that the matrix has not, their numbers are of no account.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.value import Address, Value


class Packing(NamedTuple):
    """What the code depends on.

    Attributes:
        along: what lies side by side in the matrix: "rows", "columns" or, if neither does, "".
        width: columns of a panel: a multiple of a vector's lanes.
        dtype: of the numbers.
    """

    along: str
    width: int
    dtype: str


class Source(NamedTuple):
    """The matrix to pack.

    Attributes:
        address: of its first number.
        row: elements from one row to the next.
        column: elements from one column to the next.
        rows: how many.
        columns: how many.
    """

    address: Address
    row: Value
    column: Value
    rows: Value
    columns: Value


def panel_rows(rows: int, lanes: int) -> int:
    """Rows for which a panel has room: they are written in whole vectors."""
    return -(-rows // lanes) * lanes


def pack(code: Code, packing: Packing, source: Source, panels: Address, step: Value) -> None:
    """Writes the loops that pack a matrix.

    Args:
        code: where to write.
        packing: how.
        source: the matrix.
        panels: where to pack.
        step: elements from one panel to the next.
    """
    width, dtype = packing.width, packing.dtype
    write = {"rows": _rows, "columns": _columns, "": _numbers}[packing.along]
    with code.loop(0, source.columns, width) as first:
        panel = code.offset(panels, first // width * step, dtype)
        here = code.offset(source.address, first * source.column, dtype)
        left = source.columns - first
        write(code, packing, source._replace(address=here, columns=left), panel)


def _rows(code: Code, packing: Packing, source: Source, panel: Address) -> None:
    """A panel whose rows lie side by side in the matrix."""
    width, dtype = packing.width, packing.dtype
    lanes = code.target.lanes(4 if dtype == "float32" else 8)

    def copy(masks: Sequence[Value | None]) -> None:
        with code.loop(0, source.rows) as i:
            for j, mask in enumerate(masks):
                value = code.load(source.address, i * source.row + j * lanes, dtype, lanes, mask)
                code.store(value, panel, i * width + j * lanes)

    vectors = width // lanes
    with code.either(source.columns >= width) as (full, partial):
        with full:
            copy([None] * vectors)
        with partial:
            copy([code.first(source.columns - j * lanes, lanes) for j in range(vectors)])


def _columns(code: Code, packing: Packing, source: Source, panel: Address) -> None:
    """A panel whose columns lie side by side: squares of numbers are transposed in registers."""
    width, dtype = packing.width, packing.dtype
    lanes = code.target.lanes(4 if dtype == "float32" else 8)
    with code.loop(0, source.rows, lanes) as i, code.loop(0, width, lanes) as j:
        places = [code.minimum(j, source.columns - 1) * source.column + i]
        for c in range(1, lanes):
            # A column that the matrix has not is another's copy.
            step = code.select(j + c < source.columns, source.column, code.number(0))
            places.append(places[-1] + step)
        # Nothing is read behind the last row.
        mask = code.first(source.rows - i, lanes)
        columns = [code.load(source.address, place, dtype, lanes, mask) for place in places]
        rows = transposed(code, columns)
        for r, row in enumerate(rows):
            code.store(row, panel, (i + r) * width + j)


def _numbers(code: Code, packing: Packing, source: Source, panel: Address) -> None:
    """A panel whose numbers lie anywhere."""
    width, dtype = packing.width, packing.dtype
    last = source.columns - 1
    with code.loop(0, source.rows) as i, code.loop(0, width) as j:
        place = i * source.row + code.minimum(j, last) * source.column
        code.store(code.load(source.address, place, dtype), panel, i * width + j)


def transposed(code: Code, rows: Sequence[Value]) -> list[Value]:
    """As many vectors as each has lanes, transposed."""
    lanes = len(rows)
    found, half = list(rows), lanes // 2
    while half:
        # Squares of 2 half x 2 half: the upper right and the lower left quarter change places.
        upper = [i + (lanes - half) * (i // half % 2) for i in range(lanes)]
        lower = [i + half + (lanes - half) * (i // half % 2) for i in range(lanes)]
        for i in range(lanes):
            if i // half % 2 == 0:
                a, b = found[i], found[i + half]
                found[i] = code.shuffle(a, b, upper)
                found[i + half] = code.shuffle(a, b, lower)
        half //= 2
    return found


def write_pack(code: Code, packing: Packing) -> None:
    """Writes the function whose items are the panels of a stack of matrices.

    Its arrays are the panels and the matrices; its sizes their rows and columns, the elements to
    the first matrix, from one to the next in the outer and in the inner dimension, from one row to
    the next and from one column to the next, the length of the inner dimension, and the elements
    from one panel to the next.
    """
    rows, columns, start, outer, inner, row, column, length, step = [code.size(i) for i in range(9)]
    width, dtype = packing.width, packing.dtype
    panels = (columns + (width - 1)) // width
    with code.loop(code.begin, code.end) as item:
        matrix, panel = item // panels, item % panels
        first = panel * width
        place = start + matrix // length * outer + matrix % length * inner + first * column
        address = code.offset(code.array(1), place, dtype)
        left = code.minimum(columns - first, code.number(width))
        into = code.offset(code.array(0), item * step, dtype)
        pack(code, packing, Source(address, row, column, rows, left), into, step)
