"""`Flatten`."""

from __future__ import annotations

import math
from typing import Any

from kbackend.base.config import standardize_data_format
from kbackend.core import lang
from kbackend.layers.input_spec import InputSpec
from kbackend.layers.layer import Layer


class Flatten(Layer):
    """All dimensions but the batch in one.

    Args:
        data_format: "channels_last" or "channels_first", in which case the channels are moved
            last before they are flattened; the configured one by default.

    Example:
        >>> import numpy as np
        >>> Flatten()(np.zeros((2, 3, 4))).shape
        (2, 12)
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)
        self._channels_first = self.data_format == "channels_first"

    def call(self, inputs: Any) -> Any:
        """The inputs, flattened."""
        ndim = len(inputs.shape)
        if self._channels_first and ndim > 1:
            inputs = lang.transpose(inputs, (0, *range(2, ndim), 1))
        shape = inputs.shape
        rest = shape[1:]
        size = None if None in rest else math.prod(rest)
        return lang.reshape(inputs, (shape[0], size))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "data_format": self.data_format}
