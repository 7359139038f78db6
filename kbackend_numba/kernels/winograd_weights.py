"""Filters of Winograd's method: planes of panels."""

from __future__ import annotations

from collections.abc import Callable

from kbackend.engine.program import Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.codegen.winograd import both_sides, short
from kbackend_numba.kernels.conv_weights import Filters, packing
from kbackend_numba.kernels.winograd_tiles import DTYPE, TRANSFORM_FILTERS
from kbackend_numba.native import Call


def transformed_filters(
    m: int, filters: Filters, turned: bool, width: int, position: int
) -> tuple[list[Call], list[Spec]]:
    """The calls that transform filters into planes of panels, and their scratch arrays.

    Args:
        m: positions of a tile along each dimension.
        filters: how they lie in memory; they are array number 2.
        turned: whether the taps are read from the last to the first.
        width: columns of a panel.
        position: of the first scratch array. The last one holds the result.
    """
    panels = -(-filters.columns // width)
    taps = range(8, -1, -1) if turned else range(9)
    # What is read along with each other is put side by side first.
    pack, _, size = packing(filters, [taps], width, DTYPE, (position, 2))
    planes = (m + 2) ** 2
    call = Call(
        function(("winograd filters", m, width), _transform(m, width)),
        (position + 1, position),
        (filters.rows, panels),
        panels * filters.rows,
        width * planes * TRANSFORM_FILTERS,
    )
    whole = planes * panels * filters.rows * width
    return [pack, call], [Spec((size,), DTYPE), Spec((whole,), DTYPE)]


def _transform(m: int, width: int) -> Callable[[Code], None]:
    """Writes the function whose items are the rows of panels."""

    def write(code: Code) -> None:
        rows, panels = code.size(0), code.size(1)
        plane = panels * rows * width
        with code.loop(code.begin, code.end) as item:
            place = (item // rows * (rows * 8) + item) * width
            source = code.offset(code.array(1), place, DTYPE)
            target = code.offset(code.array(0), item * width, DTYPE)
            with code.loop(0, width, code.lanes) as k:

                def load(i: int, j: Value, source: Address = source, k: Value = k) -> Value:
                    place = rows * width * (j + 3 * i) + k
                    return code.load(source, place, DTYPE, code.lanes)

                def store(
                    i: Value, j: int, value: Value, target: Address = target, k: Value = k
                ) -> None:
                    code.store(value, target, plane * (i * (m + 2) + j) + k)

                both_sides(code, short(m).filters, load, store)

    return write
