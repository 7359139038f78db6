"""Random bits from the Philox generator that NumPy ships."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from kbackend.engine.array_module.random import KEY
from kbackend.engine.interface import Kernel

Array = np.ndarray[Any, Any]


def random_bits(state: Array, shape: tuple[int, ...], width: int) -> Array:
    seed, counter = state.tolist()
    key = np.array((seed, KEY), np.uint64)
    # NumPy adds one to the counter before each block, so the first block is number 1.
    generator = np.random.Philox(key=key, counter=np.array((0, counter, 0, 0), np.uint64))
    count = prod(shape)
    if width == 64:
        return generator.random_raw(count).reshape(shape)
    raw = generator.random_raw(-(-count // 2))
    # Little-endian words hold the low half first.
    halves = raw.astype("<u8", copy=False).view("<u4").astype(np.uint32, copy=False)
    return halves[:count].reshape(shape)


KERNELS: dict[str, Kernel] = {"random_bits": Kernel(random_bits)}
