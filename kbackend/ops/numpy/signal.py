"""Correlation of sequences."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.operators import promote
from kbackend.ops.define import op
from kbackend.ops.numpy.rounding import conj

_MODES = ("valid", "same", "full")


@op()
def correlate(x1: Any, x2: Any, mode: str = "valid") -> Any:
    """Cross-correlation of two sequences: sums of products at all displacements.

    Args:
        x1: vector.
        x2: vector that is moved along the first one (and conjugated).
        mode: which displacements: `"valid"` (one lies within the other), `"same"` (as many as the
            longer has elements) or `"full"` (all with some overlap).

    Returns:
        Floating vector.

    Raises:
        ValueError: the mode is unknown, or an argument is not a vector with elements.

    Example:
        >>> correlate([1, 2, 3], [0, 1], mode="full").tolist()
        [1.0, 2.0, 3.0, 0.0]
    """
    if mode not in _MODES:
        raise ValueError(
            f"[correlate] 'mode' must be one of {', '.join(_MODES)}. Received: mode={mode!r}."
        )
    x, y = promote(x1, x2, force_float=True)
    if len(x.shape) != 1 or len(y.shape) != 1 or 0 in (*x.shape, *y.shape):
        raise ValueError(
            "[correlate] takes vectors with elements. "
            f"Received shapes: {tuple(x.shape)} and {tuple(y.shape)}."
        )
    y = conj(y)
    n, m = x.shape[0], y.shape[0]
    swapped = n < m
    if swapped:
        x, y, n, m = y, x, m, n
    before, after = {
        "valid": (0, 0),
        "same": (m // 2, m - 1 - m // 2),
        "full": (m - 1, m - 1),
    }[mode]
    x = lang.pad(x, 0, ((before, after, 0),))
    size = n + before + after - m + 1
    places = lang.add(lang.iota((size, 1), 0, "int32"), lang.iota((1, m), 1, "int32"))
    out = lang.dot(lang.gather(x, (places,), (0,)), y, ((1,), (0,)))
    return lang.rev(out, (0,)) if swapped else out
