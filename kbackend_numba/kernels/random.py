"""Random bits: the generator Philox 4x64-10, bit for bit as NumPy has it.

J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
A block of four words depends on nothing but its number and the state, so blocks are items. See
docs/design/random.md for how the state becomes key and counter.
"""

from __future__ import annotations

from math import prod

from llvmlite import ir

from kbackend.engine.array_module.random import KEY, ROUNDS
from kbackend.engine.program import Ints, Prepared, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.value import Type, Value
from kbackend_numba.kernels.copying import packed
from kbackend_numba.native import Call, Prepare, native

_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
# Words of a block.
_WORDS = 4
# Blocks of an item, a multiple of what any vector holds.
_BLOCKS = 512
# Nanoseconds for a block.
_COST = 5.0


def _lanes(code: Code) -> int:
    """Blocks that are done at once, in two vectors; 0: one, with scalar instructions."""
    # Vectors have no long products: four short ones pay only where vectors are wide.
    return 2 * code.target.lanes(8) if code.target.width == 64 else 0


def _multiplied(code: Code, factor: int, x: Value) -> tuple[Value, Value]:
    """High and low word of the product of a constant and a word."""
    if not x.type.lanes:
        build, wide = code.builder, ir.IntType(128)
        product = build.mul(build.zext(x.ir, wide), ir.Constant(wide, factor))
        high = build.trunc(build.lshr(product, ir.Constant(wide, 64)), x.type.ir)
        return Value(code, high, x.type), Value(code, build.trunc(product, x.type.ir), x.type)
    low, high = factor & 0xFFFFFFFF, factor >> 32
    x_low, x_high = x & 0xFFFFFFFF, x >> 32
    first = x_low * low
    middle = x_high * low + (first >> 32)
    carry = x_low * high + (middle & 0xFFFFFFFF)
    product = x_high * high + (middle >> 32) + (carry >> 32)
    return product, (carry << 32) | (first & 0xFFFFFFFF)


class _Generator:
    """The generator for a state, in the code.

    Args:
        code: where to write.
        state: place of the array of seed and counter.
    """

    def __init__(self, code: Code, state: int) -> None:
        self._code = code
        seed, self._counter = (
            code.load(code.array(state), i, "uint32").cast("uint64") for i in range(2)
        )
        # The keys of the rounds, one pair after the other.
        self._keys = code.local("uint64", 2 * ROUNDS)
        for turn in range(ROUNDS):
            for i, first in enumerate((seed, code.number(int(KEY), "uint64"))):
                code.store(first + _wrapped(turn * _WEYL[i]), self._keys, 2 * turn + i)

    def words(self, number: Value) -> list[Value]:
        """The words of a block, or of as many as `number` has lanes."""
        code, lanes = self._code, number.type.lanes
        # The first block has number 1. In the first round the upper half of the counter is 0.
        high, low = _multiplied(code, _MULTIPLIERS[0], number + 1)
        k0, k1 = self._key(code.number(0))
        starts = self._counter ^ k0, code.number(0, "uint64"), high ^ k1, low
        words = [code.var(code.splat(start, lanes)) for start in starts]
        # All rounds written out would take five times as long to compile, and be hardly faster.
        with code.loop(1, ROUNDS) as turn:
            c0, c1, c2, c3 = (word.value for word in words)
            k0, k1 = self._key(turn)
            high0, low0 = _multiplied(code, _MULTIPLIERS[0], c0)
            high1, low1 = _multiplied(code, _MULTIPLIERS[1], c2)
            after = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
            for word, value in zip(words, after, strict=True):
                word.set(value)
        return [word.value for word in words]

    def _key(self, turn: Value) -> tuple[Value, Value]:
        first, second = (self._code.load(self._keys, turn * 2 + i, "uint64") for i in range(2))
        return first, second


def _wrapped(word: int) -> int:
    return word & (2**64 - 1)


def _interleaved(code: Code, words: list[Value]) -> list[Value]:
    """Vectors of first, second, ... words as vectors of blocks."""
    lanes = words[0].type.lanes
    found = []
    for i in range(_WORDS):
        halves = []
        for a, b in (words[:2], words[2:]):
            first = lanes // 2 * (i // 2)
            order = [first + j // 2 + lanes * (j % 2) for j in range(lanes)]
            halves.append(code.shuffle(a, b, order))
        first = lanes // 2 * (i % 2)
        order = [first + j // 4 * 2 + j % 2 + lanes * (j % 4 // 2) for j in range(lanes)]
        found.append(code.shuffle(halves[0], halves[1], order))
    return found


def _write(code: Code) -> None:
    """Writes `out` from `state`. Sizes: half words wanted, and blocks that are wanted whole. Items
    are `_BLOCKS` blocks."""
    out, lanes = code.array(0), _lanes(code)
    count, whole = code.size(0), code.size(1)
    generator, step = _Generator(code, 1), max(lanes, 1)
    numbers = code.vector(range(lanes), "uint64") if lanes else code.number(0, "uint64")

    def blocks(at: Value) -> list[Value]:
        words = generator.words(numbers + at.cast("uint64"))
        return _interleaved(code, words) if lanes else words

    start, stop = code.begin * _BLOCKS, code.end * _BLOCKS
    full = code.select(stop < whole, stop, whole)
    # Where vectors hold several blocks, the last few may be less than a vector.
    full = start + (full - start) // step * step
    with code.loop(start, full, step) as at:
        for i, value in enumerate(blocks(at)):
            code.store(value, out, at * _WORDS + i * step)
    wanted = (count + (2 * _WORDS - 1)) // (2 * _WORDS)
    end = code.select(stop < wanted, stop, wanted)
    room = code.local("uint64", _WORDS * step)
    with code.loop(full, end, step) as at:
        for i, value in enumerate(blocks(at)):
            code.store(value, room, i * step)
        first = at * (2 * _WORDS)
        left, most = count - first, code.number(2 * _WORDS * step)
        with code.loop(0, code.select(left < most, left, most)) as half:
            code.store(code.load(room, half, "uint32"), out, first + half)


@packed
def _prepare(
    inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], shape: Ints, width: int
) -> Prepared | None:
    halves = prod(shape) * (width // Type("uint32").bits)
    if not halves:
        return native(())
    made = function(("random bits",), _write)
    wanted, whole = -(-halves // (2 * _WORDS)), halves // (2 * _WORDS)
    items = -(-wanted // _BLOCKS)
    return native([Call(made, (0, 1), (halves, whole), items, _COST * min(wanted, _BLOCKS))])


PREPARE: dict[str, Prepare] = {"random_bits": _prepare}
