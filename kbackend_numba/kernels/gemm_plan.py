"""How a matrix product is cut: into tiles and panels, blocks for the caches, items for the threads.

The sums over the columns of the first matrix are cut without regard to the number of threads, so
results don't depend on it. How many tiles an item has, on the other hand, changes no result.
"""

from __future__ import annotations

from typing import NamedTuple

from kbackend_numba import threads
from kbackend_numba.codegen.target import host, second_cache

# Bytes of a panel that should stay in the first cache. A little more is better than sums in two
# goes.
_FIRST_CACHE, _ONE_GO = 32 << 10, 48 << 10
# Share of the second cache for a block's panels, and as much again for its rows.
_SECOND_CACHE = second_cache() * 3 // 8
# Most rows of a tile: more would bring nothing. So few leave room for wider tiles.
_MOST_ROWS, _FEW_ROWS = 14, 4
# Operations that make an item worth its while, and items for each thread.
_ITEM, _ITEMS_PER_THREAD = 1 << 19, 4
# Rows and columns that an item of its own may well have, and how many items there should be before
# long sums are cut into groups, of that many summands at least.
_SIDE, _ENOUGH, _GROUP = 128, 16, 512
# Packing a number costs as much as reading that many.
_PACKING = 3
# Operations that could be done while a number of the second matrix comes from memory.
READING = 24


class Heights(NamedTuple):
    """How rows are made up of tiles.

    Attributes:
        tiles: how many there are.
        rows: of each, but the first `tall` ones have one more.
        tall: see `rows`.
    """

    tiles: int
    rows: int
    tall: int


def heights(count: int, vectors: int, overlapping: bool = False) -> Heights:
    """How `count` rows, at least one, are made up of tiles that are so many vectors wide.

    If they may overlap, all have one height.
    """
    # As many as fit into the registers, beside a row of vectors and a number.
    most = max(1, min(_MOST_ROWS, (host().registers - 2 - vectors) // vectors))
    tiles = _ceil(count, most)
    if overlapping:
        return Heights(tiles, _ceil(count, tiles), 0)
    rows = count // tiles
    return Heights(tiles, rows, count - rows * tiles)


class Plan(NamedTuple):
    """How a product is cut.

    Attributes:
        vectors: of a tile's row.
        width: columns of a panel.
        rows: of a tile, but the first `tall` ones have one more.
        tall: see `rows`.
        tiles: below each other.
        tiles_item: of these in an item; the last item may have one more.
        row_blocks: items below each other.
        panels: side by side.
        panels_item: of these in an item.
        groups: of summands, each of which makes a result of its own.
        k_group: summands in a group.
        k_block: summands that are added before the next panel.
        resumes: whether sums begin with what stands in the result. Else tiles may overlap.
        items: in all.
    """

    vectors: int
    width: int
    rows: int
    tall: int
    tiles: int
    tiles_item: int
    row_blocks: int
    panels: int
    panels_item: int
    groups: int
    k_group: int
    k_block: int
    resumes: bool
    items: int


def plan(
    shape: tuple[int, int, int],
    matrices: int,
    itemsize: int,
    packing: bool,
    width: int = 0,
    add: bool = False,
) -> Plan:
    """The plan of a product.

    Args:
        shape: rows and columns of the result, at least one, and summands.
        matrices: in the stack.
        itemsize: bytes of a number.
        packing: whether items pack the second matrix.
        width: columns of a panel, if they are given; else 0.
        add: whether to add to what stands in the result.
    """
    m, n, k = shape
    lanes = host().lanes(itemsize)
    width = width or panel_width(n, itemsize, m)
    vectors = width // lanes
    panels = _ceil(n, width)
    k_group = _group(m, n, k, matrices)
    groups = max(1, _ceil(k, k_group))
    k_block = k_group
    if k_group * width * itemsize > _ONE_GO:
        k_block = _even(k_group, _FIRST_CACHE // (width * itemsize))
    resumes = k_block < k_group or (add and groups == 1)
    tiles, rows, tall = heights(m, vectors, not resumes)
    across, down = _split(
        panels,
        tiles,
        matrices * groups,
        max(2 * rows, READING) * width * k_group,
        width,
        rows,
        packing,
    )
    most = max(1, _SECOND_CACHE // (itemsize * k_block))
    panels_item = max(1, min(_ceil(panels, across), most // width))
    tiles_item = _ceil(tiles, down)
    if panels > 1:
        tiles_item = max(1, min(tiles_item, most // rows))
    row_blocks = _ceil(tiles, tiles_item)
    if not resumes:
        # The last tile may overlap the one before, which must be of the same item.
        tiles_item = max(tiles_item, min(tiles, 2))
        row_blocks = max(1, _ceil(tiles - 1, tiles_item))
    items = matrices * groups * _ceil(panels, panels_item) * row_blocks
    return Plan(
        vectors, width, rows, tall, tiles, tiles_item, row_blocks, panels, panels_item, groups,
        k_group, k_block, resumes, items,
    )  # fmt: skip


def panel_width(n: int, itemsize: int, m: int = _MOST_ROWS) -> int:
    """Columns of a panel of a matrix that has `n` columns, to be multiplied by `m` rows."""
    lanes = host().lanes(itemsize)
    count = max(1, _ceil(n, lanes))
    if m <= _FEW_ROWS:
        # The other way around: few sums in each column leave registers to more columns.
        return lanes * min(count, _FEW_ROWS * 2 // m)
    if count in (1, 3, 5):
        return count * lanes
    return lanes * (3 if count % 3 == 0 and count % 2 else 2)


def _group(m: int, n: int, k: int, matrices: int) -> int:
    """Summands in a group."""
    items = max(1, matrices * _ceil(m, _SIDE) * _ceil(n, _SIDE))
    groups = min(_ENOUGH // items, k // _GROUP)
    return _even(k, _ceil(k, groups)) if groups > 3 else max(1, k)


def _split(
    panels: int, tiles: int, others: int, flops: int, width: int, rows: int, packing: bool
) -> tuple[int, int]:
    """Into how many parts the columns and the rows are cut."""
    most = max(1, panels * tiles * flops // _ITEM)
    wanted = min(most, _ceil(_ITEMS_PER_THREAD * threads.count(), others))
    best, least = (1, 1), None
    for down in range(1, min(tiles, wanted) + 1):
        across = min(panels, _ceil(wanted, down))
        if across * down < min(wanted, panels * tiles) and down < min(tiles, wanted):
            continue
        read = tiles * rows * across + panels * width * down * (_PACKING if packing else 1)
        if least is None or read < least:
            best, least = (across, down), read
    return best


def _even(total: int, most: int) -> int:
    """The length of parts that are as long as they may be, and about equal."""
    return max(1, _ceil(total, max(1, _ceil(total, most))))


def _ceil(a: int, b: int) -> int:
    return -(-a // b)
