"""`Dot` and `dot`."""

from __future__ import annotations

from typing import Any

from kbackend import ops
from kbackend.base.shapes import canonical_axis
from kbackend.core import lang, operators
from kbackend.layers.layer import Layer
from kbackend.layers.merging.merge import shape_list


class Dot(Layer):
    """Products of two tensors, sample by sample, summed over an axis of each.

    Args:
        axes: the axis, or the axis of the first and that of the second tensor; not the batch.
        normalize: whether to scale the vectors along the axes to length 1, which makes the products
            cosines.

    Raises:
        ValueError: `axes` is malformed, or the sizes along the axes differ.

    Example:
        >>> import numpy as np
        >>> Dot(axes=(2, 1))([np.zeros((2, 3, 4)), np.zeros((2, 4, 5))]).shape
        (2, 3, 5)
    """

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(axes, int):
            if not isinstance(axes, (list, tuple)):
                raise TypeError(
                    f"[Dot] 'axes' must be an int or two ints. Received: axes={axes!r}."
                )
            if len(axes) != 2 or not all(isinstance(axis, int) for axis in axes):
                raise ValueError(f"[Dot] 'axes' must hold two ints. Received: axes={axes!r}.")
        self.axes = axes
        self.normalize = normalize
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Checks that the shapes fit the axes."""
        shapes = shape_list("Dot", input_shape)
        if len(shapes) != 2:
            raise ValueError(f"[{self.name}] takes exactly 2 tensors. Received shapes: {shapes}.")
        sizes = [shape[axis] for shape, axis in zip(shapes, self._axes_of(*shapes), strict=True)]
        if None not in sizes and sizes[0] != sizes[1]:
            raise ValueError(
                f"[{self.name}] the sizes {sizes[0]} and {sizes[1]} along the axes {self.axes} "
                f"differ. Received shapes: {shapes}."
            )

    def _axes_of(self, x_shape: Any, y_shape: Any) -> tuple[int, int]:
        first, second = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        a, b = canonical_axis(first, len(x_shape)), canonical_axis(second, len(y_shape))
        if a == 0 or b == 0:
            raise ValueError(
                f"[{self.name}] can't sum over the batch. Received: axes={self.axes} for the "
                f"shapes {tuple(x_shape)} and {tuple(y_shape)}."
            )
        return a, b

    def call(self, inputs: Any) -> Any:
        """The products."""
        x, y = operators.promote(inputs[0], inputs[1])
        a, b = self._axes_of(x.shape, y.shape)
        if self.normalize:
            x, y = ops.normalize(x, axis=a), ops.normalize(y, axis=b)
        out = lang.dot(x, y, ((a,), (b,)), ((0,), (0,)))
        # Keras keeps a feature dimension.
        return out if len(out.shape) > 1 else lang.reshape(out, (out.shape[0], 1))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """There is none: the masked axes may be summed over."""
        return None

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "axes": self.axes, "normalize": self.normalize}


def dot(inputs: Any, axes: Any = -1, **kwargs: Any) -> Any:
    """Products of two tensors, sample by sample, summed over an axis of each.

    Args:
        inputs: list of two tensors.
        axes: the axis, or the axis of the first and that of the second tensor.
        **kwargs: arguments of the layer `Dot`.

    Returns:
        A tensor.

    Example:
        >>> import numpy as np
        >>> dot([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).tolist()
        [[11.0]]
    """
    return Dot(axes=axes, **kwargs)(inputs)
