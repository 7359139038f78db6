"""What attention layers with several heads have in common."""

from __future__ import annotations

from typing import Any

from kbackend import constraints, initializers, ops, regularizers
from kbackend.core.convert import to_tensor
from kbackend.layers.arguments import probability
from kbackend.layers.layer import Layer

PARTS = (
    ("kernel_initializer", initializers), ("bias_initializer", initializers),
    ("kernel_regularizer", regularizers), ("bias_regularizer", regularizers),
    ("kernel_constraint", constraints), ("bias_constraint", constraints),
)  # fmt: skip


class Heads(Layer):
    """Base of `MultiHeadAttention` and `GroupQueryAttention`."""

    def _configure(
        self, dropout: Any, sliding_window: Any, flash_attention: Any, seed: Any
    ) -> tuple[float, int | None]:
        """Checks what both take, and keeps the seed."""
        name = type(self).__name__
        self.supports_masking = True
        self.seed = seed
        self._flash_attention = flash_attention
        if flash_attention and dropout > 0:
            raise ValueError(
                f"[{name}] flash attention does not drop. Received: dropout={dropout}, "
                "flash_attention=True. Set one of them to zero or False."
            )
        if sliding_window is not None and (
            isinstance(sliding_window, bool)
            or not isinstance(sliding_window, int)
            or sliding_window <= 0
        ):
            raise ValueError(
                f"[{name}] 'sliding_window' must be None or a positive integer. Received: "
                f"sliding_window={sliding_window!r}."
            )
        return probability(name, "dropout", dropout), sliding_window

    def _dense_arguments(self, source: Any) -> dict[str, Any]:
        """Arguments of the projections: each has initializers of its own, from equal configs."""
        arguments: dict[str, Any] = {"dtype": self.dtype_policy}
        for part, module in PARTS:
            value = source(part)
            if module is initializers and value is not None:
                value = value.__class__.from_config(value.get_config())
            arguments[part] = value
        return arguments

    def _no_scores(self) -> ValueError:
        return ValueError(
            f"[{type(self).__name__}] flash attention does not make attention scores. Set "
            "flash_attention=None or return_attention_scores=False."
        )


def rows_and_columns(masks: list[Any]) -> Any:
    """The conjunction of masks, or `None` if there is none."""
    found = None
    for mask in masks:
        if mask is not None:
            found = mask if found is None else ops.logical_and(found, mask)
    return found


def positions(query: Any, key: Any, causal: bool, window: int | None) -> Any:
    """bool `(1, queries, keys)`: which keys stand where a query may look, or `None` for all."""
    if not causal and window is None:
        return None
    # Running sums of ones are positions, whether the lengths are known or not.
    row = ops.cumsum(ops.ones_like(query[:1, :, 0], dtype="int32"), axis=-1)
    column = ops.cumsum(ops.ones_like(key[:1, :, 0], dtype="int32"), axis=-1)
    row, column = ops.expand_dims(row, -1), ops.expand_dims(column, -2)
    near = None
    if window is not None:
        near = ops.less(ops.absolute(row - column), window)
    return rows_and_columns([near, ops.greater_equal(row, column) if causal else None])


def as_mask(mask: Any, axis: int | None = None) -> Any:
    """A mask as a bool tensor with a new axis, or `None`."""
    if mask is None:
        return None
    mask = ops.cast(to_tensor(mask), "bool")
    return mask if axis is None else ops.expand_dims(mask, axis)
