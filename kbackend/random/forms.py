"""From bits to numbers: the forming rules of docs/design/random.md.

Every function takes the state of a generator, `uint32[2]`, and is a pure function of it.
"""

from __future__ import annotations

import math
from typing import Any

from kbackend.base.shapes import Shape
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.bind import abstract_maker
from kbackend.state.seed import draw_seed

SQRT2 = math.sqrt(2.0)

# dtype -> (bits drawn, bits that its fraction can hold)
_PRECISION = {
    "float64": (64, 53), "float32": (32, 24), "float16": (32, 11), "bfloat16": (32, 8),
}  # fmt: skip
FLOATS = tuple(_PRECISION)


def state_of(seed: Any) -> Any:
    """The state `uint32[2]` that a call with `seed` draws from.

    While shapes are being inferred it is symbolic, and no generator moves on.
    """
    maker = abstract_maker()
    return draw_seed(seed) if maker is None else maker(Aval((2,), "uint32"))


def children(state: Any, count: int) -> list[Any]:
    """`count` states that depend on `state` only, for functions that draw more than once."""
    bits = lang.random_bits(state, (count, 2))
    return [lang.reshape(lang.slice_(bits, (i, 0), (i + 1, 2)), (2,)) for i in range(count)]


def wide(dtype: str) -> str:
    """The dtype to compute in: float32 for 16-bit floats."""
    return "float64" if dtype == "float64" else "float32"


def unit(state: Any, shape: Shape, dtype: str) -> Any:
    """Uniform in [0, 1): the leading bits, as many as the dtype's fraction holds."""
    width, kept = _PRECISION[dtype]
    bits = lang.shift_right(lang.random_bits(state, shape, width), width - kept)
    return lang.mul(lang.cast(bits, dtype), 2.0**-kept)


def open_unit(state: Any, shape: Shape, dtype: str) -> Any:
    """Uniform in (0, 1), for float32 and float64: odd multiples of half a step, all exact."""
    width, kept = _PRECISION[dtype]
    bits = lang.shift_right(lang.random_bits(state, shape, width), width - kept + 1)
    return lang.add(lang.mul(lang.cast(bits, dtype), 2.0 ** (1 - kept)), 2.0**-kept)


def symmetric(state: Any, shape: Shape, dtype: str) -> Any:
    """Uniform in (-1, 1), for float32 and float64: odd multiples of half a step, all exact."""
    width, kept = _PRECISION[dtype]
    bits = lang.shift_right(lang.random_bits(state, shape, width), width - kept)
    return lang.add(lang.mul(lang.cast(bits, dtype), 2.0 ** (1 - kept)), 2.0**-kept - 1.0)


def standard_normal(state: Any, shape: Shape, dtype: str) -> Any:
    """Normal with mean 0 and deviation 1, by the inverse of its distribution function."""
    computed = wide(dtype)
    z = lang.mul(lang.erfinv(symmetric(state, shape, computed)), SQRT2)
    return lang.cast(z, dtype)
