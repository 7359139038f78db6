"""`Concatenate` and `concatenate`."""

from __future__ import annotations

from typing import Any

from kbackend import ops
from kbackend.layers.merging.merge import Merge, mask_like, shape_list


class Concatenate(Merge):
    """A list of tensors, one after the other along an axis.

    Args:
        axis: the axis, along which their sizes may differ.

    Raises:
        ValueError: the tensors' other dimensions differ.

    Example:
        >>> import numpy as np
        >>> Concatenate()([np.zeros((2, 3)), np.zeros((2, 5))]).shape
        (2, 8)
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def build(self, input_shape: Any) -> None:
        """Checks that the shapes can be concatenated."""
        shapes = shape_list("Concatenate", input_shape)
        rank = len(shapes[0])
        fits = all(len(shape) == rank for shape in shapes) and -rank <= self.axis < rank
        for i in range(rank if fits else 0):
            sizes = {shape[i] for shape in shapes} - {None}
            if len(sizes) > 1 and i != self.axis % rank:
                fits = False
        if not fits:
            raise ValueError(
                f"[{self.name}] the shapes must be the same but for the axis {self.axis}. "
                f"Received: {shapes}."
            )

    def merge(self, inputs: Any) -> Any:
        """The tensors, joined."""
        return ops.concatenate(list(inputs), axis=self.axis)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The masks, joined where the axis is one of theirs; else where any input is there."""
        masks = previous_mask
        if masks is None or all(mask is None for mask in masks):
            return None
        if len(masks) != len(inputs):
            raise ValueError(
                f"[{self.name}] needs as many masks as inputs ({len(inputs)}). Received: "
                f"mask={masks!r}."
            )
        # Keras's rule: masks are spread over the inputs' elements, joined like them, and a step is
        # there if one of its elements is.
        spread = [
            ops.ones_like(x, dtype="bool") if mask is None
            else ops.logical_and(mask_like(mask, x), ops.ones_like(x, dtype="bool"))
            for mask, x in zip(masks, inputs, strict=True)
        ]  # fmt: skip
        return ops.any(ops.concatenate(spread, axis=self.axis), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "axis": self.axis}


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """A list of tensors, one after the other along an axis.

    Args:
        inputs: list of tensors whose shapes differ in that axis only.
        axis: the axis.
        **kwargs: arguments of the layer `Concatenate`.

    Returns:
        A tensor.

    Example:
        >>> import numpy as np
        >>> concatenate([np.zeros((2, 3)), np.zeros((2, 5))]).shape
        (2, 8)
    """
    return Concatenate(axis=axis, **kwargs)(inputs)
