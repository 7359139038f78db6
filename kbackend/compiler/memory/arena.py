"""Offsets in one arena: values whose lifetimes overlap get memory that does not.

Largest first, each at the lowest place that is free for as long as it lives. Finding the least
arena is as hard as bin packing; this order comes close to the lower bound on networks' graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# A cache line, and what the widest vector instructions like.
ALIGNMENT = 64


class Block(NamedTuple):
    """A piece of memory that is needed for a while.

    Attributes:
        size: bytes.
        first: step that writes it.
        last: last step that needs it; not before `first`.
    """

    size: int
    first: int
    last: int


def aligned(size: int) -> int:
    """The size rounded up to the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def place(blocks: Sequence[Block]) -> tuple[list[int], int]:
    """Offsets for the blocks, and the size of the arena that they need.

    Args:
        blocks: what is needed, and when.

    Returns:
        One offset per block, and bytes.
    """
    offsets = [0] * len(blocks)
    # Placed blocks as (offset, end, first, last).
    placed: list[tuple[int, int, int, int]] = []
    total = 0
    order = sorted(range(len(blocks)), key=lambda i: (-blocks[i].size, blocks[i].first, i))
    for i in order:
        size, first, last = blocks[i]
        size = aligned(size)
        if not size:
            continue
        offset = 0
        for start, end, begin, stop in placed:
            if begin > last or stop < first:
                continue
            if start - offset >= size:
                break
            offset = max(offset, end)
        offsets[i] = offset
        total = max(total, offset + size)
        placed.append((offset, offset + size, first, last))
        placed.sort()
    return offsets, total


def peak(blocks: Sequence[Block]) -> int:
    """The most bytes that are needed at one time: no arena can be smaller."""
    changes: dict[int, int] = {}
    for size, first, last in blocks:
        changes[first] = changes.get(first, 0) + aligned(size)
        changes[last + 1] = changes.get(last + 1, 0) - aligned(size)
    most = now = 0
    for step in sorted(changes):
        now += changes[step]
        most = max(most, now)
    return most
