"""`UpSampling1D`, `UpSampling2D` and `UpSampling3D`."""

from __future__ import annotations

from typing import Any

from kbackend import ops
from kbackend.core import lang
from kbackend.layers.arguments import positive_int
from kbackend.layers.reshaping.spatial import SpatialLayer

_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")


class _UpSampling(SpatialLayer):
    """Repeats each place along each space axis."""

    def __init__(
        self, rank: int, size: Any, data_format: str | None = "channels_last", **kwargs: Any
    ) -> None:
        super().__init__(rank, data_format, **kwargs)
        kind = type(self).__name__
        factors = (size,) * rank if isinstance(size, int) else size
        if not isinstance(factors, (list, tuple)) or len(factors) != rank:
            raise ValueError(
                f"[{kind}] 'size' must be an int or {rank} ints. Received: size={size!r}."
            )
        self._factors = tuple(positive_int(kind, "size", factor) for factor in factors)

    def call(self, inputs: Any) -> Any:
        """The inputs, repeated."""
        # One copy: each place gets axes of its own, which are broadcast.
        shape = inputs.shape
        split, wide, out = [], [], []
        for axis, dim in enumerate(shape):
            if axis in self._space:
                factor = self._factors[axis - self._space[0]]
                split += [dim, 1]
                wide += [dim, factor]
                out.append(dim * factor)
            else:
                split.append(dim)
                wide.append(dim)
                out.append(dim)
        return lang.reshape(
            lang.broadcast_to(lang.reshape(inputs, tuple(split)), tuple(wide)), tuple(out)
        )


class UpSampling1D(_UpSampling):
    """Repeats each time step.

    Args:
        size: how many times.

    Raises:
        ValueError: `size` is not a positive integer.

    Example:
        >>> import numpy as np
        >>> UpSampling1D(2)(np.array([[[1.0], [2.0]]])).tolist()
        [[[1.0], [1.0], [2.0], [2.0]]]
    """

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(1, (size,), **kwargs)
        self.size = self._factors[0]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "size": self.size}


class UpSampling2D(_UpSampling):
    """Makes images larger.

    Args:
        size: factor, or factors of rows and columns.
        data_format: "channels_last" or "channels_first"; the configured one by default.
        interpolation: "nearest", "bilinear", "bicubic", "lanczos3" or "lanczos5".

    Raises:
        ValueError: an argument is none of these.

    Example:
        >>> import numpy as np
        >>> UpSampling2D((2, 3))(np.zeros((1, 4, 5, 3))).shape
        (1, 8, 15, 3)
    """

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(2, size, data_format, **kwargs)
        self.size = self._factors
        self.interpolation = str(interpolation).lower()
        if self.interpolation not in _INTERPOLATIONS:
            raise ValueError(
                f"[UpSampling2D] 'interpolation' must be one of {_INTERPOLATIONS}. Received: "
                f"interpolation={interpolation!r}."
            )

    def call(self, inputs: Any) -> Any:
        """The inputs, larger."""
        if self.interpolation == "nearest":
            return super().call(inputs)
        size = tuple(
            inputs.shape[axis] * factor
            for axis, factor in zip(self._space, self._factors, strict=True)
        )
        return ops.image.resize(
            inputs, size, interpolation=self.interpolation, data_format=self.data_format
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "size": self.size,
            "data_format": self.data_format,
            "interpolation": self.interpolation,
        }


class UpSampling3D(_UpSampling):
    """Makes volumes larger, by repetition.

    Args:
        size: factor, or three factors.
        data_format: "channels_last" or "channels_first"; the configured one by default.

    Raises:
        ValueError: an argument is none of these.

    Example:
        >>> import numpy as np
        >>> UpSampling3D(2)(np.zeros((1, 2, 3, 4, 1))).shape
        (1, 4, 6, 8, 1)
    """

    def __init__(
        self, size: Any = (2, 2, 2), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(3, size, data_format, **kwargs)
        self.size = self._factors

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "size": self.size, "data_format": self.data_format}
