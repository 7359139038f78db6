"""`AdaptiveAveragePooling1D` to `3D` and `AdaptiveMaxPooling1D` to `3D`."""

from __future__ import annotations

from typing import Any

from kbackend.layers.layer import Layer
from kbackend.ops.nn.arguments import channels_first, per_dimension
from kbackend.ops.nn.pool import adaptive_average_pool, adaptive_max_pool


class _AdaptivePooling(Layer):
    """`rank` dimensions, pooled by `_pool` to `output_size`."""

    rank: int
    _pool: Any

    def __init__(self, output_size: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        own = type(self).__name__
        self.output_size = per_dimension(output_size, self.rank, "output_size", own)
        first = channels_first(data_format, own)
        self.data_format = "channels_first" if first else "channels_last"

    def call(self, inputs: Any) -> Any:
        """The summaries of the windows."""
        return self._pool(inputs, self.output_size, self.data_format)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "output_size": self.output_size,
            "data_format": self.data_format,
        }


class AdaptiveAveragePooling1D(_AdaptivePooling):
    """Mean pooling over time to a given size, with windows of nearly equal size.

    Inputs are `(batch, time, channels)`, or `(batch, channels, time)`.

    Args:
        output_size: int: size of the output.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> AdaptiveAveragePooling1D(3)(np.ones((2, 8, 3))).shape
        (2, 3, 3)
    """

    rank = 1
    _pool = staticmethod(adaptive_average_pool)


class AdaptiveAveragePooling2D(_AdaptivePooling):
    """Mean pooling over images to a given size, with windows of nearly equal size.

    Inputs are `(batch, rows, columns, channels)`, or `(batch, channels, rows, columns)`.

    Args:
        output_size: int or two of them: size of the output.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> AdaptiveAveragePooling2D(3)(np.ones((2, 8, 8, 3))).shape
        (2, 3, 3, 3)
    """

    rank = 2
    _pool = staticmethod(adaptive_average_pool)


class AdaptiveAveragePooling3D(_AdaptivePooling):
    """Mean pooling over volumes to a given size, with windows of nearly equal size.

    Inputs are `(batch, depth, rows, columns, channels)`, or have the channels second.

    Args:
        output_size: int or three of them: size of the output.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> AdaptiveAveragePooling3D(3)(np.ones((2, 8, 8, 8, 3))).shape
        (2, 3, 3, 3, 3)
    """

    rank = 3
    _pool = staticmethod(adaptive_average_pool)


class AdaptiveMaxPooling1D(_AdaptivePooling):
    """Max pooling over time to a given size, with windows of nearly equal size.

    Inputs are `(batch, time, channels)`, or `(batch, channels, time)`.

    Args:
        output_size: int: size of the output.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> AdaptiveMaxPooling1D(3)(np.ones((2, 8, 3))).shape
        (2, 3, 3)
    """

    rank = 1
    _pool = staticmethod(adaptive_max_pool)


class AdaptiveMaxPooling2D(_AdaptivePooling):
    """Max pooling over images to a given size, with windows of nearly equal size.

    Inputs are `(batch, rows, columns, channels)`, or `(batch, channels, rows, columns)`.

    Args:
        output_size: int or two of them: size of the output.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> AdaptiveMaxPooling2D(3)(np.ones((2, 8, 8, 3))).shape
        (2, 3, 3, 3)
    """

    rank = 2
    _pool = staticmethod(adaptive_max_pool)


class AdaptiveMaxPooling3D(_AdaptivePooling):
    """Max pooling over volumes to a given size, with windows of nearly equal size.

    Inputs are `(batch, depth, rows, columns, channels)`, or have the channels second.

    Args:
        output_size: int or three of them: size of the output.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> AdaptiveMaxPooling3D(3)(np.ones((2, 8, 8, 8, 3))).shape
        (2, 3, 3, 3, 3)
    """

    rank = 3
    _pool = staticmethod(adaptive_max_pool)
