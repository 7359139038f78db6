"""`Merge`: base of layers that make one tensor of several."""

from __future__ import annotations

from typing import Any

from kbackend import ops
from kbackend.base.shapes import broadcast
from kbackend.layers.layer import Layer


class Merge(Layer):
    """Base of layers that combine a list of tensors element by element.

    The tensors broadcast; those with fewer dimensions get dimensions after the batch. A subclass
    implements `merge(tensors)`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self._same_rank = True

    def build(self, input_shape: Any) -> None:
        """Checks that the shapes can be merged."""
        shapes = shape_list(type(self).__name__, input_shape)
        batches = {shape[0] for shape in shapes if shape and shape[0] is not None}
        if len(batches) > 1:
            raise ValueError(
                f"[{self.name}] tensors with different batch sizes can't be merged. Received "
                f"shapes: {shapes}."
            )
        self._same_rank = len({len(shape) for shape in shapes}) == 1
        rank = max(map(len, shapes))
        try:
            broadcast(*(_widened(shape, rank) for shape in shapes))
        except ValueError as error:
            raise ValueError(
                f"[{self.name}] the inputs' shapes don't fit together. Received: {shapes}."
            ) from error

    def call(self, inputs: Any) -> Any:
        """The merged tensor."""
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(f"[{self.name}] must be called on a list of tensors.")
        return self.merge(inputs if self._same_rank else _same_rank(inputs))

    def merge(self, inputs: Any) -> Any:
        """One tensor of a list of tensors with the same number of dimensions."""
        raise NotImplementedError(f"[{type(self).__name__}] a subclass must implement merge().")

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Where any of the inputs is there, if all have masks."""
        if previous_mask is None:
            return None
        if not isinstance(previous_mask, (list, tuple)) or len(previous_mask) != len(inputs):
            raise ValueError(
                f"[{self.name}] needs a list of as many masks as inputs ({len(inputs)}). Received: "
                f"mask={previous_mask!r}."
            )
        if any(mask is None for mask in previous_mask):
            return None
        joint = previous_mask[0]
        for mask in previous_mask[1:]:
            joint = ops.logical_or(joint, mask)
        return joint

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments: those of every layer."""
        return super().get_config()


def shape_list(layer: str, input_shape: Any) -> list[tuple[int | None, ...]]:
    """The shapes of a list of inputs.

    Raises:
        ValueError: it is the shape of a single input, or there are none.
    """
    shapes = list(input_shape) if isinstance(input_shape, (list, tuple)) else []
    if not shapes or not all(isinstance(shape, (list, tuple)) for shape in shapes):
        raise ValueError(
            f"[{layer}] must be called on a list of at least one tensor. Received: "
            f"input_shape={input_shape}."
        )
    return [tuple(shape) for shape in shapes]


def _widened(shape: Any, rank: int) -> tuple[Any, ...]:
    """`shape` with dimensions of 1 after the batch, up to `rank`."""
    return (*shape[:1], *([1] * (rank - len(shape))), *shape[1:])


def _same_rank(inputs: Any) -> list[Any]:
    rank = max(len(x.shape) for x in inputs)
    return [
        x if len(x.shape) == rank else ops.reshape(x, _widened(tuple(x.shape), rank))
        for x in inputs
    ]


def mask_like(mask: Any, x: Any) -> Any:
    """A mask with dimensions of 1 at the end, as many as `x` has."""
    missing = len(x.shape) - len(mask.shape)
    return ops.reshape(mask, (*mask.shape, *([1] * missing))) if missing > 0 else mask
