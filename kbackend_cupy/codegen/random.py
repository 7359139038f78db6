"""Random bits: Philox 4x64-10, the same on every engine; see docs/design/random.md."""

from __future__ import annotations

from collections.abc import Callable

from kbackend.engine.array_module.random import KEY, ROUNDS
from kbackend.engine.program import Ints, Spec
from kbackend_cupy.codegen.loop import SHORT, loop, pointer
from kbackend_cupy.codegen.region import Plan

_ROUNDS = f"""unsigned long long k0 = state[0], k1 = {int(KEY):#x}ull;
unsigned long long c0 = at + 1ull, c1 = state[1], c2 = 0, c3 = 0;
for (int round = 0; round < {ROUNDS}; ++round) {{
    const unsigned long long high0 = __umul64hi(0xD2E7470EE14C6C93ull, c0);
    const unsigned long long low0 = 0xD2E7470EE14C6C93ull * c0;
    const unsigned long long high1 = __umul64hi(0xCA5A826395121157ull, c2);
    const unsigned long long low1 = 0xCA5A826395121157ull * c2;
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B97F4A7C15ull;
    k1 += 0xBB67AE8584CAA73Bull;
}}
const unsigned long long words[4] = {{c0, c1, c2, c3}};
"""


def random_bits(
    inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], *, shape: Ints, width: int
) -> Plan | None:
    """Random words; each thread makes a block of four with 64 bits."""
    (state,), (out,) = inputs, outputs
    if out.size > SHORT or not state.contiguous:
        return None
    if width == 64:
        each, word = 4, "words[i]"
    else:
        # The lower half of a word comes first.
        each, word = 8, "(unsigned)(words[i / 2] >> (i % 2 * 32))"
    lines = [
        *_ROUNDS.splitlines(),
        "#pragma unroll",
        f"for (unsigned i = 0; i < {each}; ++i)",
        f"    if (at * {each}u + i < {out.size}u) o[at * {each}u + i] = {word};",
    ]
    parameters = [pointer(out, "o", True), pointer(state, "state")]
    blocks = -(-out.size // each)
    return Plan(tuple(loop("philox", "", parameters, lines, blocks, (0, 1))))


PREPARE: dict[str, Callable[..., Plan | None]] = {"random_bits": random_bits}
