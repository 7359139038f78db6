"""Initializers without chance."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from kbackend.base.dtypes import standardize_dtype
from kbackend.base.serialization import deserialize, serialize
from kbackend.base.shapes import standardize_shape
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.initializers.initializer import Initializer


class Zeros(Initializer):
    """Zeros.

    Example:
        >>> Zeros()((2,)).tolist()
        [0.0, 0.0]
    """

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """A tensor of zeros."""
        return lang.full(standardize_shape(shape), 0, standardize_dtype(dtype))


class Ones(Initializer):
    """Ones.

    Example:
        >>> Ones()((2,), dtype="int32").tolist()
        [1, 1]
    """

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """A tensor of ones."""
        return lang.full(standardize_shape(shape), 1, standardize_dtype(dtype))


class Constant(Initializer):
    """One value, or an array of them that is repeated to the shape.

    Args:
        value: number, or array that broadcasts to the shapes asked for.

    Example:
        >>> Constant(3.0)((2,)).tolist()
        [3.0, 3.0]
    """

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """A tensor of the value."""
        value = to_tensor(self.value, standardize_dtype(dtype))
        return lang.broadcast_to(value, standardize_shape(shape))

    def get_config(self) -> dict[str, Any]:
        """The value."""
        return {"value": serialize(self.value)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """An initializer from `get_config`'s answer."""
        return cls(deserialize(config.get("value", 0.0)))


class Identity(Initializer):
    """The identity matrix; for a matrix that is not square, with zeros in the rest.

    Args:
        gain: number that the matrix is multiplied by.

    Example:
        >>> Identity(gain=2.0)((2, 3)).tolist()
        [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """The matrix.

        Raises:
            ValueError: the shape is not that of a matrix.
        """
        dims = standardize_shape(shape, allow_unknown=False)
        if len(dims) != 2:
            raise ValueError(
                "[Identity] the shape must have two dimensions. Received: "
                f"shape={dims} with {len(dims)}."
            )
        return to_tensor(self.gain * np.eye(*dims), standardize_dtype(dtype))  # type: ignore[arg-type]

    def get_config(self) -> dict[str, Any]:
        """The gain."""
        return {"gain": self.gain}
