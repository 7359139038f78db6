"""Shares of sums, added up by the very blocks of threads that made them.

The shares of a tile are the leaves of a tree. Of two neighbours the block that is done first writes
its sums and ends; the other one adds them to its own, and goes on as their parent. So what is added
to what never changes, nobody waits, and there is no launch for it.
"""

from __future__ import annotations

from math import ceil, log2

# Numbers that are written and read at once.
_QUAD = 4


def depth(shares: int) -> int:
    """How many times a block meets a neighbour, at most."""
    return ceil(log2(shares))


def tickets(shares: int, tiles: int) -> int:
    """Tickets for the pairs of all tiles."""
    return (shares - 1) * tiles


def lines(work: str, shares: int, each: int, threads: int) -> list[str]:
    """Statements behind which one block of each tile has the tile's sums; the others have returned.

    They use `tile`, `tiles`, `share`, the array `sum[each][each]` of a thread, and the parameters
    `p`, room for all shares of all tiles, and `tickets`.

    Args:
        work: type of the sums.
        shares: of each tile, at least 2.
        each: rows and columns of a thread.
        threads: of a block.
    """
    packs, row = each * each // _QUAD, each // _QUAD
    # Threads beside each other write beside each other.
    place = f"{work}* %s = p + (((size_t)%s * tiles + tile) * {packs} * {threads}"
    place += f" + threadIdx.x) * {_QUAD};"
    through = ["#pragma unroll", f"        for (int k = 0; k < {packs}; ++k) {{"]
    at, own = f"%s + k * {threads * _QUAD}", f"sum[k / {row}][k % {row} * {_QUAD} + j]"
    return [
        f"unsigned* pairs = tickets + tile * {shares - 1}u;",
        "unsigned node = share, apart = 1;",
        "#pragma unroll 1",
        f"for (unsigned count = {shares}u; count > 1; count = (count + 1) / 2, apart *= 2) {{",
        "    const unsigned other = node ^ 1u;",
        "    if (other < count) {",
        f"        {place % ('mine', '(node * apart)')}",
        *through,
        f"            kb::pack<{work}, {_QUAD}> made;",
        *_each(f"made.at[j] = {own};"),
        f"            kb::store_pack<{_QUAD}>({at % 'mine'}, made);",
        "        }",
        "        if (!kb::is_last(pairs + node / 2, 2)) return;",
        f"        {place % ('theirs', '(other * apart)')}",
        *through,
        f"            const auto found = kb::load_pack<{_QUAD}>({at % 'theirs'});",
        *_each(f"{own} += found.at[j];"),
        "        }",
        "    }",
        "    pairs += count / 2;",
        "    node /= 2;",
        "}",
    ]


def _each(statement: str) -> list[str]:
    return ["#pragma unroll", f"            for (int j = 0; j < {_QUAD}; ++j) {statement}"]
