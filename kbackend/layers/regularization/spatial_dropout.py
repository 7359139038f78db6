"""`SpatialDropout1D`, `SpatialDropout2D` and `SpatialDropout3D`."""

from __future__ import annotations

from typing import Any

from kbackend.base.config import standardize_data_format
from kbackend.layers.input_spec import InputSpec
from kbackend.layers.regularization.dropout import Dropout


class _SpatialDropout(Dropout):
    """Dropout of whole channels: the mask is the same at all places."""

    def __init__(
        self, rank: int, rate: float, data_format: str, seed: Any, name: Any, dtype: Any
    ) -> None:
        space: tuple[Any, ...] = (1,) * rank
        last = data_format == "channels_last"
        noise_shape = (None, *space, None) if last else (None, None, *space)
        super().__init__(rate, noise_shape=noise_shape, seed=seed, name=name, dtype=dtype)
        self.data_format = data_format
        self.input_spec = InputSpec(ndim=rank + 2)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"rate": self.rate, "seed": self.seed, "name": self.name, "dtype": self.dtype}


class SpatialDropout1D(_SpatialDropout):
    """While training: sets whole features to zero at random, the same in all time steps.

    Args:
        rate: probability of becoming zero, in [0, 1].
        seed: integer, for reproducible masks.
        name: name.
        dtype: dtype or policy.

    Example:
        >>> import numpy as np
        >>> SpatialDropout1D(0.5, seed=1)(np.ones((2, 3, 4)), training=True).shape
        (2, 3, 4)

    Reference:
        J. Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015.
    """

    def __init__(self, rate: float, seed: Any = None, name: Any = None, dtype: Any = None) -> None:
        super().__init__(1, rate, "channels_last", seed, name, dtype)


class _SpatialDropoutND(_SpatialDropout):
    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "data_format": self.data_format}


class SpatialDropout2D(_SpatialDropoutND):
    """While training: sets whole feature maps of images to zero at random.

    Args:
        rate: probability of becoming zero, in [0, 1].
        data_format: "channels_last" or "channels_first"; the configured one by default.
        seed: integer, for reproducible masks.
        name: name.
        dtype: dtype or policy.

    Example:
        >>> import numpy as np
        >>> SpatialDropout2D(0.5, seed=1)(np.ones((2, 3, 3, 4)), training=True).shape
        (2, 3, 3, 4)

    Reference:
        J. Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015.
    """

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: Any = None,
        name: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, rate, standardize_data_format(data_format), seed, name, dtype)


class SpatialDropout3D(_SpatialDropoutND):
    """While training: sets whole feature maps of volumes to zero at random.

    Args:
        rate: probability of becoming zero, in [0, 1].
        data_format: "channels_last" or "channels_first"; the configured one by default.
        seed: integer, for reproducible masks.
        name: name.
        dtype: dtype or policy.

    Example:
        >>> import numpy as np
        >>> SpatialDropout3D(0.5, seed=1)(np.ones((2, 3, 3, 3, 4)), training=True).shape
        (2, 3, 3, 3, 4)

    Reference:
        J. Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015.
    """

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: Any = None,
        name: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(3, rate, standardize_data_format(data_format), seed, name, dtype)
