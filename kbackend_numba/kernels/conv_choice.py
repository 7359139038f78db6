"""Which method a convolution of 3x3 taps takes.

Winograd's method does a quarter of the products (4x4 positions at a time), or 4 in 9 (2x2). The
smaller one rounds as little as the direct method; the larger one loses two bits more. Infinities
and NaN spread to all positions of a tile.

The environment variable KBACKEND_CONVOLUTION says how far to go: "fast", which is the default,
"exact" for tiles of 2x2 at most, "direct" for none.
"""

from __future__ import annotations

import os

from kbackend.base.errors import ConfigError
from kbackend_numba.kernels.conv_direct import FLOPS

_VARIABLE = "KBACKEND_CONVOLUTION"
_TILES = {"fast": 4, "exact": 2, "direct": 0}

# Nanoseconds to transform a number of a tile, and one of the filters.
_TRANSFORM, _TRANSFORM_FILTERS = 0.15, 0.3


def winograd_tile(images: int, height: int, width: int, channels: int, filters: int) -> int:
    """Positions along each dimension of the tiles to take, or 0 for the direct method.

    Args:
        images: how many.
        height: positions.
        width: positions.
        channels: that are summed up for each position.
        filters: results of each position.
    """
    m = _allowed()
    if not m:
        return 0
    products = 2 * channels * filters / FLOPS
    tiles = images * -(-height // m) * -(-width // m)
    each = products + (channels + filters) * _TRANSFORM
    short = (m + 2) ** 2 * (tiles * each + channels * filters * _TRANSFORM_FILTERS)
    return m if short < images * height * width * 9 * products else 0


def _allowed() -> int:
    name = os.environ.get(_VARIABLE, "").strip().lower() or "fast"
    if name not in _TILES:
        raise ConfigError(
            f"[environment variable {_VARIABLE}] must be one of {', '.join(_TILES)}. Received: "
            f"{name!r}. Mend it, or unset it for {next(iter(_TILES))!r}."
        )
    return _TILES[name]
