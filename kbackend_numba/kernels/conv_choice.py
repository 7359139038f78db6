"""Which method a convolution of 3x3 taps takes.

Winograd's method does a quarter of the products (4x4 positions at a time), or 4 in 9 (2x2). The
smaller one rounds as little as the direct method; the larger one loses a bit or two. Infinities and
NaN spread to all positions of a tile.

The environment variable KBACKEND_CONVOLUTION says how far to go: "fast", which is the default,
"exact" for tiles of 2x2 at most, "direct" for none.
"""

from __future__ import annotations

import os

from kbackend.base.errors import ConfigError
from kbackend_numba.kernels.conv_direct import FLOPS

_VARIABLE = "KBACKEND_CONVOLUTION"
_TILES = {"fast": 4, "exact": 2, "direct": 0}


def winograd_tile() -> int:
    """Positions along each dimension of the tiles that Winograd's method may have, or 0."""
    name = os.environ.get(_VARIABLE, "").strip().lower() or "fast"
    if name not in _TILES:
        raise ConfigError(
            f"[environment variable {_VARIABLE}] must be one of {', '.join(_TILES)}. Received: "
            f"{name!r}. Mend it, or unset it for {next(iter(_TILES))!r}."
        )
    return _TILES[name]


def pays(cost: float, products: int) -> bool:
    """Whether a method of that many nanoseconds is faster than the direct one."""
    return cost < 2 * products / FLOPS
