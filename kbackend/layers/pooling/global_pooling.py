"""`GlobalMaxPooling1D` to `3D` and `GlobalAveragePooling1D` to `3D`."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.layers.input_spec import InputSpec
from kbackend.layers.layer import Layer
from kbackend.ops.nn.arguments import channels_first
from kbackend.ops.numpy.reduce import max as max_of
from kbackend.ops.numpy.reduce import mean
from kbackend.ops.numpy.reduce import sum as sum_of


class _GlobalPooling(Layer):
    """Each channel, summarised over all `rank` spatial dimensions."""

    rank: int

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        first = channels_first(data_format, type(self).__name__)
        self.data_format = "channels_first" if first else "channels_last"
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=self.rank + 2)
        start = 2 if first else 1
        self._axes = tuple(range(start, start + self.rank))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "data_format": self.data_format,
            "keepdims": self.keepdims,
        }


class _GlobalMax(_GlobalPooling):
    def call(self, inputs: Any) -> Any:
        """The greatest element of each channel."""
        return max_of(inputs, self._axes, self.keepdims)


class _GlobalAverage(_GlobalPooling):
    def call(self, inputs: Any) -> Any:
        """The mean of each channel."""
        return mean(inputs, self._axes, self.keepdims)


class GlobalAveragePooling1D(_GlobalPooling):
    """Mean of each channel over all of time, or over the steps that the mask says are real.

    Inputs are `(batch, time, channels)`, or `(batch, channels, time)`.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        keepdims: whether the reduced dimension stays with size 1.

    Raises:
        ValueError: `data_format` is unknown.

    Example:
        >>> import numpy as np
        >>> x = np.array([[[1.0], [3.0], [8.0]]])
        >>> GlobalAveragePooling1D()(x, mask=np.array([[True, True, False]])).tolist()
        [[2.0]]
    """

    rank = 1

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """The mean of each channel."""
        axis = self._axes[0]
        if mask is None:
            return mean(inputs, axis, self.keepdims)
        shape = tuple(mask.shape)
        weights = lang.cast(mask, inputs.dtype)
        weights = lang.reshape(weights, (*shape, 1) if axis == 1 else (shape[0], 1, *shape[1:]))
        total = sum_of(inputs * weights, axis, self.keepdims)
        return total / sum_of(weights, axis, self.keepdims)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """None: time is gone."""
        return None


class GlobalMaxPooling1D(_GlobalMax):
    """Greatest element of each channel over all of time.

    Inputs are `(batch, time, channels)`, or `(batch, channels, time)`.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        keepdims: whether the reduced dimensions stay with size 1.

    Raises:
        ValueError: `data_format` is unknown.

    Example:
        >>> import numpy as np
        >>> GlobalMaxPooling1D()(np.ones((2, 8, 3))).shape
        (2, 3)
    """

    rank = 1


class GlobalMaxPooling2D(_GlobalMax):
    """Greatest element of each channel over the whole image.

    Inputs are `(batch, rows, columns, channels)`, or `(batch, channels, rows, columns)`.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        keepdims: whether the reduced dimensions stay with size 1.

    Raises:
        ValueError: `data_format` is unknown.

    Example:
        >>> import numpy as np
        >>> GlobalMaxPooling2D()(np.ones((2, 8, 8, 3))).shape
        (2, 3)
    """

    rank = 2


class GlobalMaxPooling3D(_GlobalMax):
    """Greatest element of each channel over the whole volume.

    Inputs are `(batch, depth, rows, columns, channels)`, or have the channels second.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        keepdims: whether the reduced dimensions stay with size 1.

    Raises:
        ValueError: `data_format` is unknown.

    Example:
        >>> import numpy as np
        >>> GlobalMaxPooling3D()(np.ones((2, 8, 8, 8, 3))).shape
        (2, 3)
    """

    rank = 3


class GlobalAveragePooling2D(_GlobalAverage):
    """Mean of each channel over the whole image.

    Inputs are `(batch, rows, columns, channels)`, or `(batch, channels, rows, columns)`.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        keepdims: whether the reduced dimensions stay with size 1.

    Raises:
        ValueError: `data_format` is unknown.

    Example:
        >>> import numpy as np
        >>> GlobalAveragePooling2D()(np.ones((2, 8, 8, 3))).shape
        (2, 3)
    """

    rank = 2


class GlobalAveragePooling3D(_GlobalAverage):
    """Mean of each channel over the whole volume.

    Inputs are `(batch, depth, rows, columns, channels)`, or have the channels second.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        keepdims: whether the reduced dimensions stay with size 1.

    Raises:
        ValueError: `data_format` is unknown.

    Example:
        >>> import numpy as np
        >>> GlobalAveragePooling3D()(np.ones((2, 8, 8, 8, 3))).shape
        (2, 3)
    """

    rank = 3
