"""`Cropping1D`, `Cropping2D` and `Cropping3D`."""

from __future__ import annotations

from typing import Any

from kbackend.layers.reshaping.spatial import Pairs, SpatialLayer, pairs


class _Cropping(SpatialLayer):
    """Takes away the given numbers of places before and after, along each space axis."""

    def __init__(
        self, rank: int, cropping: Any, data_format: str | None = "channels_last", **kwargs: Any
    ) -> None:
        super().__init__(rank, data_format, **kwargs)
        self._pairs: Pairs = pairs(type(self).__name__, "cropping", cropping, rank)
        index: list[Any] = [slice(None)] * (rank + 2)
        for axis, (before, after) in zip(self._space, self._pairs, strict=True):
            index[axis] = slice(before, -after if after else None)
        self._index = tuple(index)

    def call(self, inputs: Any) -> Any:
        """The inputs without their borders."""
        shape = inputs.shape
        for axis, (before, after) in zip(self._space, self._pairs, strict=True):
            if shape[axis] is not None and before + after >= shape[axis]:
                raise ValueError(
                    f"[{self.name}] cropping={self._pairs} leaves nothing of the axis {axis} of "
                    f"inputs of shape {tuple(shape)}."
                )
        return inputs[self._index]


class Cropping1D(_Cropping):
    """Takes time steps away, at the beginning and at the end.

    Args:
        cropping: an int, or a pair (before, after).

    Raises:
        ValueError: `cropping` is malformed, or leaves nothing.

    Example:
        >>> import numpy as np
        >>> Cropping1D((1, 2))(np.zeros((2, 6, 4))).shape
        (2, 3, 4)
    """

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__(1, cropping, **kwargs)
        self.cropping = self._pairs[0]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "cropping": self.cropping}


class _CroppingND(_Cropping):
    def __init__(self, rank: int, cropping: Any, data_format: str | None, **kwargs: Any) -> None:
        super().__init__(rank, cropping, data_format, **kwargs)
        self.cropping = self._pairs

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(), "cropping": self.cropping, "data_format": self.data_format
        }  # fmt: skip


class Cropping2D(_CroppingND):
    """Takes rows and columns away, at all sides.

    Args:
        cropping: an int, a pair of ints (rows, columns), or a pair of pairs (before, after).
        data_format: "channels_last" or "channels_first"; the configured one by default.

    Raises:
        ValueError: `cropping` is malformed, or leaves nothing.

    Example:
        >>> import numpy as np
        >>> Cropping2D(((1, 0), (2, 2)))(np.zeros((2, 6, 8, 3))).shape
        (2, 5, 4, 3)
    """

    def __init__(
        self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(2, cropping, data_format, **kwargs)


class Cropping3D(_CroppingND):
    """Takes places away at all sides of a volume.

    Args:
        cropping: an int, three ints, or three pairs (before, after).
        data_format: "channels_last" or "channels_first"; the configured one by default.

    Raises:
        ValueError: `cropping` is malformed, or leaves nothing.

    Example:
        >>> import numpy as np
        >>> Cropping3D(1)(np.zeros((2, 4, 5, 6, 3))).shape
        (2, 2, 3, 4, 3)
    """

    def __init__(
        self,
        cropping: Any = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(3, cropping, data_format, **kwargs)
