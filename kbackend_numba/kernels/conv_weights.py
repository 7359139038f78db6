"""Filters of a convolution, packed for the tiles that read them.

The taps of a pass, and within these the channels that are summed up, are the rows of a matrix for
each group. Its columns are cut into panels as wide as a tile, whose rows lie one behind the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.kernels.copying import transposed
from kbackend_numba.native import Call

# Nanoseconds for a number that is packed.
_PACKING = 0.3

_SIZES = ("groups", "panels", "rows", "columns", "row", "column", "group")


class Filters(NamedTuple):
    """How filters lie in memory, and what of them is read as what.

    Attributes:
        groups: how many.
        rows: numbers of a group that are summed up for each tap.
        columns: results of a group.
        row: elements from one row to the next.
        column: elements from one column to the next.
        group: elements from one group to the next.
        tap: elements from one tap to the next.
    """

    groups: int
    rows: int
    columns: int
    row: int
    column: int
    group: int
    tap: int


def packing(
    filters: Filters,
    passes: Sequence[Sequence[int]],
    width: int,
    dtype: str,
    arrays: tuple[int, int],
) -> tuple[Call | None, tuple[int, ...], int]:
    """The call that packs filters.

    Args:
        filters: how they lie in memory.
        passes: the taps that each pass reads, in their order.
        width: columns of a panel.
        dtype: of the numbers.
        arrays: places of the packed and of the given filters.

    Returns:
        The call, where the filters of each pass begin, and how many elements there are.
    """
    panels = -(-filters.columns // width)
    places, table, total = [], [], 0
    for taps in passes:
        places.append(total)
        panel = len(taps) * filters.rows * width
        for i, tap in enumerate(taps):
            table.append((tap * filters.tap, total + i * filters.rows * width, panel))
        total += filters.groups * panels * panel
    sizes = (
        filters.groups, panels, filters.rows, filters.columns, filters.row, filters.column,
        filters.group, *chain.from_iterable(table),
    )  # fmt: skip
    turned = filters.column != 1
    call = Call(
        function(("pack filters", turned, width, dtype), _pack(turned, width, dtype)),
        arrays,
        sizes,
        len(table) * filters.groups * panels,
        filters.rows * width * _PACKING,
    )
    return call, tuple(places), total


def shared_packing(
    filters: Filters,
    share: int,
    passes: Sequence[Sequence[int]],
    width: int,
    dtype: str,
    arrays: tuple[int, int],
) -> tuple[Call, tuple[int, ...], int]:
    """The call that packs filters for tiles whose lanes share numbers; see `packing`, `LaneTile`.

    Args:
        filters: how they lie in memory, as if they had one group.
        share: channels of a group.
        passes: the taps that each pass reads, in their order.
        width: columns of a panel.
        dtype: of the numbers.
        arrays: places of the packed and of the given filters.
    """
    panels = -(-filters.columns // width)
    places, table, total = [], [], 0
    for taps in passes:
        places.append(total)
        for i, tap in enumerate(taps):
            table += [tap * filters.tap, total + i * share * width, len(taps) * share * width]
        total += panels * len(taps) * share * width
    turned = filters.column != 1
    sizes = (filters.columns, panels, filters.row, filters.column, *table)
    call = Call(
        function(
            ("pack shared filters", turned, share, width, dtype),
            _pack_shared(turned, share, width, dtype),
        ),
        arrays,
        sizes,
        len(table) // 3 * panels,
        share * width * _PACKING,
    )
    return call, tuple(places), total


def _pack_shared(turned: bool, share: int, width: int, dtype: str) -> Callable[[Code], None]:
    """Writes the function whose items are the panels of each tap."""

    def write(code: Code) -> None:
        columns, panels, row, column = [code.size(i) for i in range(4)]
        with code.loop(code.begin, code.end) as item:
            panel, entry = item % panels, item // panels * 3 + 4
            source = code.offset(code.array(1), code.size(entry), dtype)
            place = code.size(entry + 1) + panel * code.size(entry + 2)
            target = code.offset(code.array(0), place, dtype)
            with code.loop(0, width) as lane:
                # What stands in the columns that aren't there does not matter.
                here = code.minimum(panel * width + lane, columns - 1)
                for turn in range(share):
                    other = here ^ turn
                    if turned:
                        at = other * row + (here & (share - 1)) * column
                    else:
                        at = (other & (share - 1)) * row + here * column
                    code.store(code.load(source, at, dtype), target, lane + turn * width)

    return write


def _pack(turned: bool, width: int, dtype: str) -> Callable[[Code], None]:
    """Writes the function whose items are the panels of each tap."""

    def write(code: Code) -> None:
        size = {name: code.size(i) for i, name in enumerate(_SIZES)}
        with code.loop(code.begin, code.end) as item:
            panel, rest = item % size["panels"], item // size["panels"]
            group, tap = rest % size["groups"], rest // size["groups"]
            entry = tap * 3 + len(_SIZES)
            first = panel * width
            place = code.size(entry) + group * size["group"] + first * size["column"]
            source = code.offset(code.array(1), place, dtype)
            place = code.size(entry + 1) + item % (size["panels"] * size["groups"]) * code.size(
                entry + 2
            )
            target = code.offset(code.array(0), place, dtype)
            _panel(code, turned, width, dtype, size, source, target, size["columns"] - first)

    return write


def _panel(
    code: Code,
    turned: bool,
    width: int,
    dtype: str,
    size: dict[str, Value],
    source: Address,
    target: Address,
    columns: Value,
) -> None:
    lanes = code.target.lanes(4 if dtype == "float32" else 8)
    rows = size["rows"]
    with code.loop(0, width, lanes) as j:
        if not turned:
            mask = code.first(columns - j, lanes)
            with code.loop(0, rows) as i:
                value = code.load(source, i * size["row"] + j, dtype, lanes, mask)
                code.store(value, target, i * width + j)
            return
        # Blocks of as many rows as a vector has lanes are read column by column.
        with code.loop(0, rows, lanes) as i:
            within = code.first(rows - i, lanes)
            none = code.first(code.number(0), lanes)
            block = []
            for k in range(lanes):
                mask = code.select(columns > j + k, within, none)
                at = i + size["column"] * (j + k)
                block.append(code.load(source, at, dtype, lanes, mask))
            for k, row in enumerate(transposed(code, block)):
                with code.when(rows > i + k):
                    code.store(row, target, (i + k) * width + j)
