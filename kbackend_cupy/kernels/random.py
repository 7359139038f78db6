"""Philox 4x64-10 in one CUDA kernel, a block of four words per thread.

The bits are those of `kbackend.engine.array_module.random`, specified in docs/design/random.md.
"""

from __future__ import annotations

from math import prod
from typing import Any

from kbackend.engine.array_module.random import KEY, ROUNDS
from kbackend.engine.interface import Kernel

_CODE = f"""
unsigned long long k0 = state[0], k1 = {int(KEY):#x}ull;
unsigned long long c0 = i + 1, c1 = state[1], c2 = 0, c3 = 0;
for (int round = 0; round < {ROUNDS}; ++round) {{
    unsigned long long high0 = __umul64hi(0xD2E7470EE14C6C93ull, c0);
    unsigned long long low0 = 0xD2E7470EE14C6C93ull * c0;
    unsigned long long high1 = __umul64hi(0xCA5A826395121157ull, c2);
    unsigned long long low1 = 0xCA5A826395121157ull * c2;
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B97F4A7C15ull;
    k1 += 0xBB67AE8584CAA73Bull;
}}
words[4 * i] = c0;
words[4 * i + 1] = c1;
words[4 * i + 2] = c2;
words[4 * i + 3] = c3;
"""


def kernels(cp: Any) -> dict[str, Kernel]:
    """The kernels of this family on `cupy`."""
    philox = cp.ElementwiseKernel("raw uint64 state", "raw uint64 words", _CODE, "kbackend_philox")

    def random_bits(state: Any, shape: tuple[int, ...], width: int) -> Any:
        count = prod(shape)
        per_block = 4 if width == 64 else 8
        blocks = -(-count // per_block)
        words = cp.empty(4 * blocks, "uint64")
        if blocks:
            philox(state.astype("uint64", copy=False), words, size=blocks)
        # The device is little-endian: a word's low half comes first.
        bits = words if width == 64 else words.view("uint32")
        return bits[:count].reshape(shape)

    return {"random_bits": Kernel(random_bits)}
