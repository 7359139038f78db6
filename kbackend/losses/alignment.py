"""Targets and predictions, or values and weights, brought to one rank and dtype."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.numpy.common import floating

# Sums and counts leave these dtypes' range or precision soon.
NARROW = frozenset(("float16", "bfloat16"))


def align(x: Any, y: Any, expand: bool = True) -> tuple[Any, Any]:
    """x and y with a last dimension of size 1 removed from one, where the other lacks it.

    Args:
        x: tensor.
        y: tensor.
        expand: whether a vector gets the last dimension instead, beside a column.
    """
    more = len(x.shape) - len(y.shape)
    if more == 1:
        if x.shape[-1] == 1:
            if expand and len(y.shape) == 1:
                return x, expand_last(y)
            return squeeze_last(x), y
    elif more == -1 and y.shape[-1] == 1:
        if expand and len(x.shape) == 1:
            return expand_last(x), y
        return x, squeeze_last(y)
    return x, y


def expand_last(x: Any) -> Any:
    """x with a new last dimension of size 1."""
    return lang.reshape(x, (*x.shape, 1))


def squeeze_last(x: Any) -> Any:
    """x without its last dimension, of size 1."""
    return lang.reshape(x, tuple(x.shape[:-1]))


def paired(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Targets and predictions as tensors of the predictions' dtype (a float) and of one rank."""
    y_pred = floating(y_pred)
    y_true = to_tensor(y_true, y_pred.dtype)
    if len(y_true.shape) == len(y_pred.shape):
        return y_true, y_pred
    return align(y_true, y_pred)


def mean_last(x: Any, owner: str) -> Any:
    """The mean over the last dimension.

    Raises:
        ValueError: there is no dimension.
    """
    if not x.shape:
        raise ValueError(
            f"[{owner}] 'y_true' and 'y_pred' must have at least one dimension. Received: scalars."
        )
    return mean_over(x, (len(x.shape) - 1,))


def mean_over(x: Any, axes: tuple[int, ...]) -> Any:
    """The mean over `axes`, which are removed."""
    dtype = x.dtype
    if dtype in NARROW:
        x = lang.cast(x, "float32")
    size: Any = 1
    for axis in axes:
        dim = x.shape[axis]
        if dim is None:
            size = lang.reduce_sum(lang.full(x.shape, 1, x.dtype), axes)
            break
        size *= dim
    mean = lang.reduce_sum(x, axes)
    if size.__class__ is not int or size != 1:
        mean = lang.div(mean, size)
    return lang.cast(mean, dtype)
