"""Running sums and products, differences, integrals."""

from __future__ import annotations

from typing import Any

from kbackend.base.dtypes import INEXACT_SET
from kbackend.core import lang, operators
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.numpy.common import axis_of, flat, numeric, part


def _scan(x: Any, axis: Any, dtype: Any, scan: Any, empty: float | None = None) -> Any:
    """`scan` along an axis; with `empty`, that number stands for NaN."""
    x = numeric(x) if dtype is None else to_tensor(x, dtype)
    if empty is not None and x.dtype in INEXACT_SET:
        x = lang.select(lang.ne(x, x), empty, x)
    if axis is None:
        return scan(flat(x), 0)
    return scan(x, axis_of(axis, len(x.shape)))


@op()
def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Running sum along an axis.

    Args:
        x: tensor.
        axis: int; by default the flattened tensor is summed.
        dtype: dtype of the result and of the sums; that of x by default (int32 for bool).

    Returns:
        Tensor of x's shape, or a vector.

    Example:
        >>> cumsum([1, 2, 3]).tolist()
        [1, 3, 6]
    """
    return _scan(x, axis, dtype, lang.cumsum)


@op()
def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Running product along an axis.

    Args:
        x: tensor.
        axis: int; by default the flattened tensor is multiplied.
        dtype: dtype of the result and of the products; that of x by default (int32 for bool).

    Returns:
        Tensor of x's shape, or a vector.

    Example:
        >>> cumprod([1, 2, 3]).tolist()
        [1, 2, 6]
    """
    return _scan(x, axis, dtype, lang.cumprod)


@op()
def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Running sum along an axis, with NaN counting as 0.

    Args:
        x: tensor.
        axis: int; by default the flattened tensor is summed.
        dtype: dtype of the result and of the sums; that of x by default (int32 for bool).

    Returns:
        Tensor of x's shape, or a vector.

    Example:
        >>> nancumsum([1.0, float("nan"), 3.0]).tolist()
        [1.0, 1.0, 4.0]
    """
    return _scan(x, axis, dtype, lang.cumsum, 0.0)


@op()
def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Running product along an axis, with NaN counting as 1.

    Args:
        x: tensor.
        axis: int; by default the flattened tensor is multiplied.
        dtype: dtype of the result and of the products; that of x by default (int32 for bool).

    Returns:
        Tensor of x's shape, or a vector.

    Example:
        >>> nancumprod([2.0, float("nan"), 3.0]).tolist()
        [2.0, 2.0, 6.0]
    """
    return _scan(x, axis, dtype, lang.cumprod, 1.0)


@op()
def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """Differences of neighbours along an axis.

    Args:
        a: tensor.
        n: how many times differences are taken.
        axis: the axis, which gets shorter by n.

    Returns:
        Tensor of a's dtype.

    Example:
        >>> diff([1, 4, 9]).tolist(), diff([1, 4, 9], n=2).tolist()
        ([3, 5], [2])
    """
    x = to_tensor(a)
    if n < 0:
        raise ValueError(f"[diff] 'n' can't be negative. Received: n={n}.")
    axis = axis_of(axis, len(x.shape))
    for _ in range(n):
        size = x.shape[axis]
        after = part(x, axis, min(1, size) if size is not None else 1, None)
        before = part(x, axis, 0, None if size is None else max(size - 1, 0))
        x = lang.ne(after, before) if x.dtype == "bool" else lang.sub(after, before)
    return x


@op(tensors=("x", "dx"))
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """Integral along an axis by the trapezoidal rule.

    Args:
        y: tensor of values.
        x: places of the values, a vector or a tensor of y's shape.
        dx: distance of neighbours, where there is no `x`.
        axis: the axis.

    Returns:
        Floating tensor without the axis.

    Example:
        >>> trapezoid([1.0, 2.0, 3.0]).item()
        4.0
    """
    y = to_tensor(y)
    axis = axis_of(axis, len(y.shape))
    if x is None:
        width = dx
    else:
        x = to_tensor(x)
        if len(x.shape) == 1:
            x = lang.reshape(x, tuple(x.shape[0] if i == axis else 1 for i in range(len(y.shape))))
        width = operators.subtract(
            part(x, axis, 1, None),
            part(x, axis, 0, None if x.shape[axis] is None else x.shape[axis] - 1),
        )
    size = y.shape[axis]
    after = part(y, axis, 1, None)
    before = part(y, axis, 0, None if size is None else size - 1)
    area = operators.divide(operators.multiply(operators.add(after, before), width), 2.0)
    return lang.reduce_sum(area, (axis,))
