"""Anything a user may pass, as a tensor."""

from __future__ import annotations

from typing import Any

from kbackend.base import dtypes
from kbackend.core import lang
from kbackend.core.bind import Symbolic
from kbackend.core.tensor import Tensor, tensor
from kbackend.engine.loader import current_engine


class Readable:
    """Base of objects that stand for a tensor that can be replaced, such as variables."""

    def read(self) -> Any:
        """The tensor that it holds now."""
        raise TypeError(f"{type(self).__name__} does not implement read().")


def to_tensor(value: Any, dtype: Any = None) -> Any:
    """`value` as a Tensor on the current engine; symbolic values pass through.

    Args:
        value: a Tensor, variable, symbolic value, NumPy array, another framework's tensor (through
            `__array__`), nested list or scalar.
        dtype: dtype to cast to; `None` keeps that of arrays, and takes int32 and `floatx` for
            Python ints and floats.

    Returns:
        A Tensor, or the symbolic value (cast if asked for).
    """
    if isinstance(value, Readable):
        value = value.read()
    if dtype is not None:
        dtype = dtypes.standardize_dtype(dtype)
    if value.__class__ is Tensor:
        if value.engine is not current_engine():
            value = value.to_engine(current_engine())
        return value if dtype is None else lang.cast(value, dtype)
    if isinstance(value, Symbolic):
        return value if dtype is None else lang.cast(value, dtype)
    if isinstance(value, (list, tuple)) and _holds_symbols(value):
        return _stack(value, dtype)
    if dtype is not None and hasattr(value, "dtype"):
        # Convert in the source's own dtype first: asarray may not know how to read it directly.
        return lang.cast(tensor(value), dtype)
    if value is None:
        raise ValueError("None can't be converted to a tensor. Pass an array, a list or a number.")
    return tensor(value, dtype)


def _holds_symbols(value: Any) -> bool:
    """Whether a nested list holds values whose gradient or graph must not be lost."""
    return any(
        _holds_symbols(item)
        if isinstance(item, (list, tuple))
        else isinstance(item, (Symbolic, Readable, Tensor))
        for item in value
    )


def _stack(value: Any, dtype: Any) -> Any:
    """A nested list with tensors among its items, stacked along new leading dimensions."""
    items = [to_tensor(item, dtype) for item in value]
    joint = dtypes.result_type(*(item.dtype for item in items))
    rows = [lang.reshape(lang.cast(item, joint), (1, *item.shape)) for item in items]
    return lang.concatenate(rows, 0)
