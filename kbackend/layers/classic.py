"""Constructor arguments of earlier Keras versions that say what a model's first layer receives."""

from __future__ import annotations

from typing import Any

from kbackend.base.shapes import Shape, standardize_shape


def pop_input_shape(kwargs: dict[str, Any]) -> Shape | None:
    """The batch shape given by `input_shape`, `input_dim` or their kind, removed from kwargs.

    Example:
        >>> pop_input_shape({"input_dim": 8})
        (None, 8)
    """
    batch_shape = kwargs.pop("batch_input_shape", None)
    batch_size = kwargs.pop("batch_size", None)
    shape = kwargs.pop("input_shape", None)
    input_dim = kwargs.pop("input_dim", None)
    length = kwargs.pop("input_length", None)
    if batch_shape is not None:
        return standardize_shape(batch_shape)
    if shape is None and input_dim is not None:
        shape = (input_dim,) if length is None else (length, input_dim)
    return None if shape is None else (batch_size, *standardize_shape(shape))
