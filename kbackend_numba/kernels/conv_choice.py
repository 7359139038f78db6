"""Which method a convolution of 3x3 taps takes.

Winograd's method does a quarter of the products (4x4 positions at a time), or 4 in 9 (2x2). The
smaller one rounds as little as the direct method; the larger one loses two bits more. Infinities
and NaN spread to all positions of a tile.

The environment variable KBACKEND_CONVOLUTION says how far to go: "fast", which is the default,
"exact" for tiles of 2x2 at most, "direct" for none.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from math import prod

from kbackend.base.errors import ConfigError
from kbackend_numba.kernels.conv_direct import FLOPS

Ints = tuple[int, ...]
Cost = Callable[[int, Ints, int], float]

_VARIABLE = "KBACKEND_CONVOLUTION"
_TILES = {"fast": 4, "exact": 2, "direct": 0}


def winograd_tile(cost: Cost, y: Ints, channels: int) -> int:
    """Positions along each dimension of the tiles to take, or 0 for the direct method.

    Args:
        cost: nanoseconds of Winograd's method, for the positions of a tile and what follows.
        y: shape of the result, or of its cotangent: `(batch, height, width, filters)`.
        channels: of the images.
    """
    m = _allowed()
    return m if m and cost(m, y, channels) < 2 * prod(y) * 9 * channels / FLOPS else 0


def _allowed() -> int:
    name = os.environ.get(_VARIABLE, "").strip().lower() or "fast"
    if name not in _TILES:
        raise ConfigError(
            f"[environment variable {_VARIABLE}] must be one of {', '.join(_TILES)}. Received: "
            f"{name!r}. Mend it, or unset it for {next(iter(_TILES))!r}."
        )
    return _TILES[name]
