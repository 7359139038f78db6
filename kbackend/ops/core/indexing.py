"""Reading and writing parts of tensors."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from kbackend.base import shapes
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op


def _columns(indices: Any, ndim: int, name: str) -> tuple[Any, ...]:
    """The columns of indices `(..., k)` as one index tensor per leading dimension."""
    indices = to_tensor(indices)
    if not indices.shape or not indices.dtype.startswith(("int", "uint")):
        raise ValueError(
            f"[{name}] 'indices' must be integers with one column per indexed dimension. "
            f"Received: shape={tuple(indices.shape)}, dtype={indices.dtype}."
        )
    count = indices.shape[-1]
    if count is None or not 1 <= count <= ndim:
        raise ValueError(
            f"[{name}] 'indices' must have between 1 and {ndim} columns, one per indexed dimension."
            f" Received: shape={tuple(indices.shape)}."
        )
    outer = tuple(indices.shape[:-1])
    starts = (0,) * len(outer)
    return tuple(
        lang.reshape(lang.slice_(indices, (*starts, i), (*outer, i + 1)), outer)
        for i in range(count)
    )


@op(static=("shape",))
def scatter(indices: Any, values: Any, shape: Any) -> Any:
    """Zeros of a given shape with `values` added at `indices`.

    Args:
        indices: integer tensor `(..., k)`: places along the first k dimensions.
        values: tensor `(..., *shape[k:])`.
        shape: tuple of ints.

    Returns:
        A tensor of that shape and the dtype of `values`.

    Raises:
        ValueError: the shapes do not fit.

    Example:
        >>> scatter([[0], [2], [2]], [1, 2, 3], (3,)).tolist()
        [1, 0, 5]
    """
    values = to_tensor(values)
    dims = shapes.standardize_shape(shape, allow_unknown=False)
    columns = _columns(indices, len(dims), "scatter")
    zeros = lang.zeros(dims, values.dtype)
    return lang.scatter(zeros, values, columns, tuple(range(len(columns))), "add")


_REDUCTIONS = {None: "set", "add": "add", "max": "max", "min": "min", "mul": "mul"}


@op(tensors=("indices", "updates"))
def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Any:
    """`inputs` with `updates` written at `indices`.

    Args:
        inputs: tensor.
        indices: integer tensor `(..., k)`: places along the first k dimensions.
        updates: tensor `(..., *inputs.shape[k:])`.
        reduction: `None` to overwrite, or `"add"`, `"mul"`, `"max"`, `"min"` to combine.

    Returns:
        A tensor of the shape and dtype of `inputs`.

    Raises:
        ValueError: the shapes do not fit, or the reduction is unknown.

    Example:
        >>> scatter_update([1, 2, 3], [[0], [2]], [7, 8]).tolist()
        [7, 2, 8]
    """
    if reduction not in _REDUCTIONS:
        raise ValueError(
            "[scatter_update] 'reduction' must be None, 'add', 'mul', 'max' or 'min'. "
            f"Received: reduction={reduction!r}."
        )
    inputs = to_tensor(inputs)
    columns = _columns(indices, len(inputs.shape), "scatter_update")
    updates = to_tensor(updates, inputs.dtype)
    axes = tuple(range(len(columns)))
    return lang.scatter(inputs, updates, columns, axes, _REDUCTIONS[reduction])


def _static(starts: Any) -> tuple[int, ...] | None:
    """Start positions known now, or `None` for a tensor that holds them."""
    if isinstance(starts, np.ndarray):
        starts = starts.tolist()
    if not isinstance(starts, (tuple, list)):
        return None
    try:
        return tuple(index(start) for start in starts)
    except TypeError:
        return None


@op(static=("shape",), tensors=("start_indices",))
def slice(inputs: Any, start_indices: Any, shape: Any) -> Any:
    """The block of `inputs` of a given shape that starts at `start_indices`.

    Args:
        inputs: tensor.
        start_indices: integers, or an integer vector: one start per dimension. A block that sticks
            out is moved inside.
        shape: tuple of ints; -1 takes the rest of a dimension, for starts known beforehand.

    Returns:
        A tensor of that shape.

    Raises:
        ValueError: the block does not fit into `inputs`.

    Example:
        >>> slice([[1, 2, 3], [4, 5, 6]], (0, 1), (2, 2)).tolist()
        [[2, 3], [5, 6]]
    """
    inputs = to_tensor(inputs)
    dims = tuple(inputs.shape)
    sizes = tuple(index(d) for d in (shape if isinstance(shape, (tuple, list)) else (shape,)))
    starts = _static(start_indices)
    if len(sizes) != len(dims) or (starts is not None and len(starts) != len(dims)):
        raise ValueError(
            f"[slice] needs one start and one size for each of {len(dims)} dimensions. "
            f"Received: start_indices={start_indices}, shape={sizes}."
        )
    if starts is None:
        if -1 in sizes:
            raise ValueError(
                "[slice] a size of -1 needs starts that are Python integers. "
                f"Received: shape={sizes}."
            )
        return lang.dynamic_slice(inputs, lang.cast(to_tensor(start_indices), "int32"), sizes)
    begin: list[int] = []
    end: list[Any] = []
    for start, size, dim in zip(starts, sizes, dims, strict=True):
        if dim is not None:
            start = start + dim if start < 0 else start
            size = dim - start if size == -1 else size
            if not 0 <= size <= dim:
                raise ValueError(
                    f"[slice] the block does not fit. Received: inputs.shape={dims}, "
                    f"start_indices={starts}, shape={sizes}."
                )
            start = min(start, dim - size)
        begin.append(start)
        end.append(None if size == -1 else start + size)
    return lang.slice_(inputs, tuple(begin), tuple(end))


@op(tensors=("start_indices", "updates"))
def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """`inputs` with the block that starts at `start_indices` replaced by `updates`.

    Args:
        inputs: tensor.
        start_indices: integers, or an integer vector: one start per dimension. A block that sticks
            out is moved inside.
        updates: tensor with as many dimensions as `inputs`, and none greater.

    Returns:
        A tensor of the shape and dtype of `inputs`.

    Raises:
        ValueError: the block does not fit into `inputs`.

    Example:
        >>> slice_update([1, 2, 3], [1], [7, 8]).tolist()
        [1, 7, 8]
    """
    inputs = to_tensor(inputs)
    updates = to_tensor(updates, inputs.dtype)
    starts = lang.cast(to_tensor(start_indices), "int32")
    return lang.dynamic_update_slice(inputs, updates, lang.reshape(starts, (-1,)))


@op()
def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Any]:
    """The slices of `x` along `axis`, as a list.

    Args:
        x: tensor.
        num: length of that dimension, needed where it is unknown.
        axis: integer.

    Returns:
        A list of tensors without the dimension `axis`.

    Raises:
        ValueError: the length is unknown and not given, or not `num`.

    Example:
        >>> [part.tolist() for part in unstack([[1, 2], [3, 4]])]
        [[1, 2], [3, 4]]
    """
    x = to_tensor(x)
    at = shapes.canonical_axis(axis, len(x.shape))
    size = x.shape[at]
    if size is None:
        size = num
    if size is None or num not in (None, size):
        raise ValueError(
            "[unstack] 'num' must be the length of the dimension, and given where that is unknown. "
            f"Received: num={num}, x.shape={tuple(x.shape)}, axis={axis}."
        )
    start, stop = [0] * len(x.shape), list(x.shape)
    shape = (*x.shape[:at], *x.shape[at + 1 :])
    parts = []
    for i in range(size):
        start[at], stop[at] = i, i + 1
        parts.append(lang.reshape(lang.slice_(x, tuple(start), tuple(stop)), shape))
    return parts
