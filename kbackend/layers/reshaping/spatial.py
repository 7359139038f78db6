"""What layers over 1 to 3 space axes share: their arguments, and which axes are meant."""

from __future__ import annotations

from typing import Any

from kbackend.base.config import standardize_data_format
from kbackend.layers.input_spec import InputSpec
from kbackend.layers.layer import Layer

Pairs = tuple[tuple[int, int], ...]


class SpatialLayer(Layer):
    """Base of layers over `rank` space axes.

    Args:
        rank: number of space axes.
        data_format: "channels_last" or "channels_first"; the configured one by default.
    """

    def __init__(self, rank: int, data_format: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        first = 2 if self.data_format == "channels_first" else 1
        self._space = tuple(range(first, first + rank))
        self.input_spec = InputSpec(ndim=rank + 2)


def pairs(layer: str, name: str, value: Any, rank: int) -> Pairs:
    """`value` as a pair (before, after) for each space axis.

    Args:
        layer: name of the layer's class.
        name: name of the argument.
        value: an int (everywhere), an int or a pair for each axis; for one axis, also the pair.
        rank: number of axes.

    Raises:
        ValueError: it is none of these, or a number is negative.

    Example:
        >>> pairs("ZeroPadding2D", "padding", (1, (2, 3)), 2)
        ((1, 1), (2, 3))
    """
    if isinstance(value, int):
        items: Any = (value,) * rank
    elif rank == 1 and isinstance(value, (list, tuple)) and len(value) == 2:
        items = (value,)
    else:
        items = value
    made = []
    if isinstance(items, (list, tuple)) and len(items) == rank:
        for item in items:
            both = (item, item) if isinstance(item, int) else item
            if not isinstance(both, (list, tuple)) or len(both) != 2:
                break
            if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in both):
                break
            made.append((both[0], both[1]))
    if len(made) != rank:
        wanted = "an int or a pair" if rank == 1 else f"an int, {rank} ints or {rank} pairs"
        raise ValueError(
            f"[{layer}] '{name}' must be {wanted} of integers that are not negative. Received: "
            f"{name}={value!r}."
        )
    return tuple(made)
