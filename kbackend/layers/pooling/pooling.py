"""`MaxPooling1D` to `3D` and `AveragePooling1D` to `3D`."""

from __future__ import annotations

from typing import Any

from kbackend.layers.input_spec import InputSpec
from kbackend.layers.layer import Layer
from kbackend.ops.nn.arguments import channels_first, padding_name, per_dimension
from kbackend.ops.nn.pool import average_pool, max_pool


class _Pooling(Layer):
    """Windows of `pool_size` over `rank` dimensions, each summarised by `_pool`."""

    rank: int
    _pool: Any

    def __init__(
        self,
        pool_size: Any,
        strides: Any,
        padding: str,
        data_format: str | None,
        name: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        own, rank = type(self).__name__, self.rank
        self.pool_size = per_dimension(pool_size, rank, "pool_size", own)
        self.strides = (
            self.pool_size if strides is None else per_dimension(strides, rank, "strides", own)
        )
        self.padding = padding_name(padding, own)
        first = channels_first(data_format, own)
        self.data_format = "channels_first" if first else "channels_last"
        self.input_spec = InputSpec(ndim=rank + 2)

    def call(self, inputs: Any) -> Any:
        """The summaries of the windows."""
        return self._pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "padding": self.padding,
            "strides": self.strides,
            "data_format": self.data_format,
        }


class MaxPooling1D(_Pooling):
    """Greatest element of each window over time.

    Inputs are `(batch, time, channels)`, or `(batch, channels, time)`.

    Args:
        pool_size: int: size of the windows.
        strides: int; `pool_size` by default.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        name: name.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> MaxPooling1D(2)(np.ones((2, 8, 3))).shape
        (2, 4, 3)
    """

    rank = 1
    _pool = staticmethod(max_pool)

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class MaxPooling2D(_Pooling):
    """Greatest element of each window over images.

    Inputs are `(batch, rows, columns, channels)`, or `(batch, channels, rows, columns)`.

    Args:
        pool_size: int or two of them: size of the windows.
        strides: int or two of them; `pool_size` by default.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        name: name.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> MaxPooling2D(2)(np.ones((2, 8, 8, 3))).shape
        (2, 4, 4, 3)
    """

    rank = 2
    _pool = staticmethod(max_pool)

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class MaxPooling3D(_Pooling):
    """Greatest element of each window over volumes.

    Inputs are `(batch, depth, rows, columns, channels)`, or have the channels second.

    Args:
        pool_size: int or three of them: size of the windows.
        strides: int or three of them; `pool_size` by default.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        name: name.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> MaxPooling3D(2)(np.ones((2, 8, 8, 8, 3))).shape
        (2, 4, 4, 4, 3)
    """

    rank = 3
    _pool = staticmethod(max_pool)

    def __init__(
        self,
        pool_size: Any = (2, 2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class AveragePooling1D(_Pooling):
    """Mean of each window over time. Padding does not count.

    Inputs are `(batch, time, channels)`, or `(batch, channels, time)`.

    Args:
        pool_size: int: size of the windows.
        strides: int; `pool_size` by default.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        name: name.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> AveragePooling1D(2)(np.ones((2, 8, 3))).shape
        (2, 4, 3)
    """

    rank = 1
    _pool = staticmethod(average_pool)

    def __init__(
        self,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class AveragePooling2D(_Pooling):
    """Mean of each window over images. Padding does not count.

    Inputs are `(batch, rows, columns, channels)`, or `(batch, channels, rows, columns)`.

    Args:
        pool_size: int or two of them: size of the windows.
        strides: int or two of them; `pool_size` by default.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        name: name.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> AveragePooling2D(2)(np.ones((2, 8, 8, 3))).shape
        (2, 4, 4, 3)
    """

    rank = 2
    _pool = staticmethod(average_pool)

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class AveragePooling3D(_Pooling):
    """Mean of each window over volumes. Padding does not count.

    Inputs are `(batch, depth, rows, columns, channels)`, or have the channels second.

    Args:
        pool_size: int or three of them: size of the windows.
        strides: int or three of them; `pool_size` by default.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        name: name.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> AveragePooling3D(2)(np.ones((2, 8, 8, 8, 3))).shape
        (2, 4, 4, 4, 3)
    """

    rank = 3
    _pool = staticmethod(average_pool)

    def __init__(
        self,
        pool_size: Any = (2, 2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)
