"""Philox 4x64-10 written with array operations, for engines whose arrays hold uint64.

J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
The mapping from the state to key and counter is specified in docs/design/random.md.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from kbackend.engine.interface import Kernel

# The second word of the key: "kbackend" in ASCII.
KEY = np.uint64(0x6B6261636B656E64)

ROUNDS = 10
_MULTIPLIERS = (np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157))
_WEYL = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B))
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def _multiply(a: np.uint64, b: Any) -> tuple[Any, Any]:
    """High and low word of the 128-bit product of a constant and an array."""
    a_low, a_high = a & _LOW, a >> _HALF
    b_low, b_high = b & _LOW, b >> _HALF
    middle = b_high * a_low + (b_low * a_low >> _HALF)
    carry = (middle & _LOW) + b_low * a_high
    return b_high * a_high + (middle >> _HALF) + (carry >> _HALF), b * a


def kernels(xp: Any) -> dict[str, Kernel]:
    """The kernels of the family for the array module `xp`."""

    def random_bits(state: Any, shape: tuple[int, ...], width: int) -> Any:
        count = prod(shape)
        words = count if width == 64 else -(-count // 2)
        blocks = -(-words // 4)
        # Kept as vectors of one element: overflow of scalars makes NumPy warn.
        k0 = state[0:1].astype(xp.uint64)
        k1 = xp.full((1,), KEY, dtype=xp.uint64)
        c0 = xp.arange(1, blocks + 1, dtype=xp.uint64)
        c1 = xp.zeros_like(c0) + state[1:2].astype(xp.uint64)
        c2 = c3 = xp.zeros_like(c0)
        for _ in range(ROUNDS):
            high0, low0 = _multiply(_MULTIPLIERS[0], c0)
            high1, low1 = _multiply(_MULTIPLIERS[1], c2)
            c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
            k0, k1 = k0 + _WEYL[0], k1 + _WEYL[1]
        raw = xp.stack([c0, c1, c2, c3], axis=1).reshape(-1)
        if width == 64:
            return raw[:count].reshape(shape)
        halves = xp.stack([raw & _LOW, raw >> _HALF], axis=1).astype(xp.uint32)
        return halves.reshape(-1)[:count].reshape(shape)

    return {"random_bits": Kernel(random_bits)}
