"""`ZeroPadding1D`, `ZeroPadding2D` and `ZeroPadding3D`."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.layers.reshaping.spatial import SpatialLayer, pairs


class _ZeroPadding(SpatialLayer):
    """Adds zeros before and after, along each space axis."""

    def __init__(self, rank: int, padding: Any, data_format: str | None, **kwargs: Any) -> None:
        super().__init__(rank, data_format, **kwargs)
        found = pairs(type(self).__name__, "padding", padding, rank)
        self.padding: Any = found[0] if rank == 1 else found
        widths = [(0, 0, 0)] * (rank + 2)
        for axis, pair in zip(self._space, found, strict=True):
            widths[axis] = (*pair, 0)
        self._widths = tuple(widths)

    def call(self, inputs: Any) -> Any:
        """The inputs with zeros around."""
        return lang.pad(inputs, 0, self._widths)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "padding": self.padding, "data_format": self.data_format}


class ZeroPadding1D(_ZeroPadding):
    """Adds time steps of zeros, at the beginning and at the end.

    Args:
        padding: an int, or a pair (before, after).
        data_format: "channels_last" or "channels_first"; the configured one by default.

    Raises:
        ValueError: `padding` is malformed.

    Example:
        >>> import numpy as np
        >>> ZeroPadding1D((1, 2))(np.zeros((2, 3, 4))).shape
        (2, 6, 4)
    """

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(1, padding, data_format, **kwargs)


class ZeroPadding2D(_ZeroPadding):
    """Adds rows and columns of zeros, at all sides.

    Args:
        padding: an int, a pair of ints (rows, columns), or a pair of pairs (before, after).
        data_format: "channels_last" or "channels_first"; the configured one by default.

    Raises:
        ValueError: `padding` is malformed.

    Example:
        >>> import numpy as np
        >>> ZeroPadding2D(((1, 0), (2, 2)))(np.zeros((2, 5, 4, 3))).shape
        (2, 6, 8, 3)
    """

    def __init__(
        self, padding: Any = (1, 1), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(2, padding, data_format, **kwargs)


class ZeroPadding3D(_ZeroPadding):
    """Adds zeros at all sides of a volume.

    Args:
        padding: an int, three ints, or three pairs (before, after).
        data_format: "channels_last" or "channels_first"; the configured one by default.

    Raises:
        ValueError: `padding` is malformed.

    Example:
        >>> import numpy as np
        >>> ZeroPadding3D(1)(np.zeros((2, 2, 3, 4, 1))).shape
        (2, 4, 5, 6, 1)
    """

    def __init__(
        self,
        padding: Any = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(3, padding, data_format, **kwargs)
