"""Rules of the random primitives."""

from __future__ import annotations

from kbackend.base.shapes import Shape
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.primitive import NO_GRADIENT


def _random_bits_shape(state: Aval, shape: Shape, width: int) -> Aval:
    if state.dtype != "uint32" or state.shape not in ((2,), (None,)):
        raise ValueError(
            "The state of a random generator is a uint32 vector (seed, counter). "
            f"Received: {state}."
        )
    if width not in (32, 64):
        raise ValueError(f"'width' must be 32 or 64. Received: width={width}.")
    return Aval(shape, f"uint{width}")


# Bits are discrete and don't depend on any float.
lang.random_bits_p.define(shape=_random_bits_shape, vjp=NO_GRADIENT)
