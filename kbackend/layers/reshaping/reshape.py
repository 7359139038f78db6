"""`Reshape`, `Permute` and `RepeatVector`."""

from __future__ import annotations

import math
from typing import Any

from kbackend.core import lang
from kbackend.layers.arguments import positive_int
from kbackend.layers.input_spec import InputSpec
from kbackend.layers.layer import Layer


class Reshape(Layer):
    """The elements of each sample in another shape.

    Args:
        target_shape: tuple of ints, without the batch. One may be -1, for what remains.

    Raises:
        ValueError: there is more than one -1, or the number of elements differs.

    Example:
        >>> import numpy as np
        >>> Reshape((-1, 2))(np.zeros((3, 4))).shape
        (3, 2, 2)
    """

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        target = tuple(int(dim) for dim in target_shape)
        if target.count(-1) > 1 or any(dim < -1 for dim in target):
            raise ValueError(
                "[Reshape] 'target_shape' must hold sizes, and at most one -1. Received: "
                f"target_shape={target_shape}."
            )
        self.target_shape = target
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs in the shape `(batch, *target_shape)`."""
        shape, target = inputs.shape, self.target_shape
        sample = shape[1:]
        if None in sample:
            # What remains of an unknown number of elements is unknown as well.
            return lang.reshape(inputs, (shape[0], *(None if d == -1 else d for d in target)))
        size, known = math.prod(sample), math.prod(d for d in target if d != -1)
        if size != known and (-1 not in target or known == 0 or size % known):
            raise ValueError(
                f"[{self.name}] a sample of shape {tuple(sample)} has {size} elements, which don't "
                f"fit target_shape={target}."
            )
        rest = size // known if known else 0
        return lang.reshape(inputs, (shape[0], *(rest if d == -1 else d for d in target)))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "target_shape": self.target_shape}


class Permute(Layer):
    """The dimensions of each sample in another order.

    Args:
        dims: the input's dimensions in the output's order, counted from 1 (0 is the batch).

    Raises:
        ValueError: `dims` is not a permutation of 1, 2, ...

    Example:
        >>> import numpy as np
        >>> Permute((2, 1))(np.zeros((3, 4, 5))).shape
        (3, 5, 4)
    """

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(dims) != list(range(1, len(dims) + 1)):
            raise ValueError(
                "[Permute] 'dims' must be a permutation of 1, 2, ..., as in (2, 1). Received: "
                f"dims={dims}."
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Any) -> Any:
        """The inputs, transposed."""
        return lang.transpose(inputs, (0, *self.dims))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "dims": self.dims}


class RepeatVector(Layer):
    """Each vector `n` times, as time steps.

    Args:
        n: number of times.

    Raises:
        ValueError: `n` is not a positive integer.

    Example:
        >>> import numpy as np
        >>> RepeatVector(3)(np.zeros((2, 4))).shape
        (2, 3, 4)
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = positive_int("RepeatVector", "n", n)
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Any) -> Any:
        """The inputs, repeated along a new axis 1."""
        batch, size = inputs.shape
        return lang.broadcast_to(lang.reshape(inputs, (batch, 1, size)), (batch, self.n, size))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "n": self.n}
