"""Reductions and products with the spellings and defaults of the classic backend."""

from __future__ import annotations

from typing import Any

from kbackend import ops
from kbackend.base import config


def _not_bool(x: Any) -> Any:
    return ops.cast(x, config.floatx()) if ops.dtype(x) == "bool" else x


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Mean; of True and False the share of True.

    >>> float(mean(ops.convert_to_tensor([True, False])))
    0.5
    """
    return ops.mean(_not_bool(x), axis=axis, keepdims=keepdims)


def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Standard deviation."""
    return ops.std(_not_bool(x), axis=axis, keepdims=keepdims)


def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Variance."""
    return ops.var(_not_bool(x), axis=axis, keepdims=keepdims)


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Greatest element."""
    return ops.max(x, axis=axis, keepdims=keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Least element."""
    return ops.min(x, axis=axis, keepdims=keepdims)


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether any element is not zero."""
    return ops.any(ops.cast(x, "bool"), axis=axis, keepdims=keepdims)


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether no element is zero."""
    return ops.all(ops.cast(x, "bool"), axis=axis, keepdims=keepdims)


def argmax(x: Any, axis: int = -1) -> Any:
    """Position of the greatest element along an axis, the last one by default."""
    return ops.argmax(x, axis=axis)


def argmin(x: Any, axis: int = -1) -> Any:
    """Position of the least element along an axis, the last one by default."""
    return ops.argmin(x, axis=axis)


def cumsum(x: Any, axis: int = 0) -> Any:
    """Running sum, along the first axis by default."""
    return ops.cumsum(x, axis=axis)


def cumprod(x: Any, axis: int = 0) -> Any:
    """Running product, along the first axis by default."""
    return ops.cumprod(x, axis=axis)


def pow(x: Any, a: Any) -> Any:
    """x to the power a."""
    return ops.power(x, a)


def clip(x: Any, min_value: Any, max_value: Any) -> Any:
    """x moved between two bounds; `None` is no bound."""
    if min_value is not None:
        x = ops.maximum(x, min_value)
    return x if max_value is None else ops.minimum(x, max_value)


def l2_normalize(x: Any, axis: Any = None) -> Any:
    """x divided by its Euclidean norm along an axis (of everything by default)."""
    square_sum = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return x * ops.rsqrt(ops.maximum(square_sum, 1e-12))


def batch_dot(x: Any, y: Any, axes: Any = None) -> Any:
    """Products of matrices, or of vectors, for each entry of a batch.

    Args:
        x: tensor with the batch first.
        y: tensor with the batch first.
        axes: axis of each to sum over, as a pair or one number for both; by default the last of x
            and the last but one of y (its last if it has two).

    Returns:
        The batch, then x's other dimensions, then y's; at least two dimensions.

    >>> batch_dot(ops.ones((5, 2, 3)), ops.ones((5, 3, 4))).shape
    (5, 2, 4)
    """
    x_ndim, y_ndim = len(x.shape), len(y.shape)
    if x_ndim < 2 or y_ndim < 2:
        raise ValueError(
            "[batch_dot] 'x' and 'y' must have at least two dimensions. Received: "
            f"x.shape={x.shape}, y.shape={y.shape}."
        )
    if axes is None:
        axes = (x_ndim - 1, y_ndim - 1 if y_ndim == 2 else y_ndim - 2)
    first, second = (axes, axes) if isinstance(axes, int) else axes
    first, second = first % x_ndim, second % y_ndim
    if first == 0 or second == 0:
        raise ValueError(f"[batch_dot] can't sum over the batch. Received: axes={axes}.")
    letters = iter("abcdefghijklmnopqrstuvw")
    x_names = ["z", *(next(letters) for _ in range(x_ndim - 1))]
    y_names = ["z", *(next(letters) for _ in range(y_ndim - 1))]
    y_names[second] = x_names[first]
    out = [name for i, name in enumerate(x_names) if i != first]
    out += [name for i, name in enumerate(y_names) if i not in (0, second)]
    spec = f"{''.join(x_names)},{''.join(y_names)}->{''.join(out)}"
    product = ops.einsum(spec, x, y)
    return ops.expand_dims(product, 1) if len(out) == 1 else product
