"""Elements chosen by position or condition, triangles and diagonals, padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.base.dtypes import INEXACT_SET, is_int, result_type
from kbackend.core import indexing, lang
from kbackend.core.convert import to_tensor
from kbackend.core.lang.constants import SCALAR_TYPES
from kbackend.core.operators import promote
from kbackend.core.tensor import tensor
from kbackend.ops.define import op
from kbackend.ops.numpy.common import axis_of, dims_of, flat, host_ints, is_symbolic, truth


@op(static=("key",))
def get_item(x: Any, key: Any) -> Any:
    """`x[key]`, with NumPy's basic and advanced indexing.

    Args:
        x: tensor.
        key: integers, slices, `None`, an Ellipsis, integer or bool tensors, or a tuple of these.

    Returns:
        The selected elements.

    Example:
        >>> get_item([[1, 2], [3, 4]], (slice(None), 0)).tolist()
        [1, 3]
    """
    return indexing.get_item(to_tensor(x), key)


def _index(indices: Any) -> Any:
    """`indices` as an integer tensor."""
    indices = to_tensor(indices)
    return indices if is_int(indices.dtype) else lang.cast(indices, "int32")


@op()
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """Elements at given positions along an axis.

    Args:
        x: tensor.
        indices: integer tensor of positions; negative ones count from the end.
        axis: int; by default the flattened tensor is indexed.

    Returns:
        Tensor in which the dimensions of `indices` stand in the place of the axis.

    Example:
        >>> take([10, 20, 30], [2, 0]).tolist()
        [30, 10]
    """
    x, indices = to_tensor(x), _index(indices)
    if axis is None:
        return lang.gather(flat(x), (indices,), (0,))
    axis = axis_of(axis, len(x.shape))
    out = lang.gather(x, (indices,), (axis,))
    if axis == 0:
        return out
    new = len(indices.shape)
    order = (*range(new, new + axis), *range(new), *range(new + axis, len(out.shape)))
    return lang.transpose(out, order)


@op()
def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """For each position of `indices`, the element of x at that place along an axis.

    Args:
        x: tensor.
        indices: integer tensor of x's rank; its other dimensions broadcast with those of x.
        axis: int; by default both are flattened.

    Returns:
        Tensor of the shape of `indices` (broadcast).

    Example:
        >>> take_along_axis([[10, 20], [30, 40]], [[1], [0]], axis=1).tolist()
        [[20], [30]]
    """
    x, indices = to_tensor(x), _index(indices)
    if axis is None:
        return lang.gather(flat(x), (flat(indices),), (0,))
    if len(indices.shape) != len(x.shape):
        raise ValueError(
            "take_along_axis() needs indices of the rank of x. Received: "
            f"x.shape={tuple(x.shape)}, indices.shape={tuple(indices.shape)}."
        )
    return along_axis(x, indices, axis_of(axis, len(x.shape)))


def along_axis(x: Any, indices: Any, axis: int) -> Any:
    """`take_along_axis` of tensors of one rank."""
    ndim = len(x.shape)
    if ndim == 1:
        return lang.gather(x, (indices,), (0,))
    places = []
    for i, (n, m) in enumerate(zip(x.shape, indices.shape, strict=True)):
        if i == axis:
            places.append(indices)
            continue
        size = m if n == 1 else n
        line = tuple(size if j == i else 1 for j in range(ndim))
        # A dimension of size 1 has one place for all the indices.
        places.append(lang.full(line, 0, "int32") if n == 1 else lang.iota(line, i, "int32"))
    if any(p.dtype != indices.dtype for p in places):
        places = [lang.cast(p, "int64" if "64" in indices.dtype else "int32") for p in places]
    return lang.gather(x, tuple(places), tuple(range(ndim)))


@op(tensors=("x1", "x2"))
def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """Elements of one tensor where a condition holds, of another elsewhere.

    Args:
        condition: tensor, true where not zero.
        x1: tensor, taken where it is true.
        x2: tensor, taken where it is false. Without both of them the result is that of
            `nonzero(condition)`.

    Returns:
        Tensor of the common dtype and of the shape that all three broadcast to.

    Example:
        >>> where([True, False], [1, 2], 0).tolist()
        [1, 0]
    """
    if x1 is None and x2 is None:
        return _nonzero(condition)
    if x1 is None or x2 is None:
        raise ValueError("where() takes both 'x1' and 'x2', or neither. Received: one of them.")
    return lang.select(truth(condition), *promote(x1, x2))


def _nonzero(x: Any) -> Any:
    if is_symbolic(x):
        raise ValueError(
            "nonzero() has a result whose size depends on the values, which a symbolic tensor "
            "does not have. Use where(condition, x1, x2) in functional models."
        )
    return tuple(tensor(places.astype("int32")) for places in np.nonzero(np.asarray(to_tensor(x))))


@op()
def nonzero(x: Any) -> Any:
    """Positions of the elements that are not zero.

    Args:
        x: tensor with values.

    Returns:
        Tuple of int32 vectors, one per dimension.

    Example:
        >>> [places.tolist() for places in nonzero([0, 5, 0, 7])]
        [[1, 3]]
    """
    return _nonzero(x)


@op(tensors=("default",))
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """For each place, the choice of the first condition that holds there.

    Args:
        condlist: list of bool tensors.
        choicelist: list of tensors, one per condition.
        default: what is taken where no condition holds.

    Returns:
        Tensor of the common dtype of the choices and the default.

    Example:
        >>> select([np.array([True, False, False]), np.array([True, True, False])], [1, 2]).tolist()
        [1, 2, 0]
    """
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(
            "select() needs one choice per condition, and at least one. "
            f"Received: {len(condlist)} conditions and {len(choicelist)} choices."
        )
    choices: list[Any] = [
        c if c.__class__ in SCALAR_TYPES else to_tensor(c) for c in (*choicelist, default)
    ]
    dtype = result_type(*(c.__class__ if c.__class__ in SCALAR_TYPES else c.dtype for c in choices))
    out = to_tensor(choices.pop(), dtype)
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        out = lang.select(truth(condition), to_tensor(choice, dtype), out)
    return out


# ----- triangles and diagonals -----


def _triangle(x: Any, k: Any, lower: bool) -> Any:
    x = to_tensor(x)
    ndim = len(x.shape)
    if ndim == 1:
        x = lang.broadcast_to(x, (x.shape[0], x.shape[0]))
        ndim = 2
    if ndim < 2:
        raise ValueError("A triangle needs at least one dimension. Received: a scalar.")
    rows = lang.iota((x.shape[-2], 1), 0, "int32")
    columns = lang.iota((1, x.shape[-1]), 1, "int32")
    k = int(k)
    if lower:
        inside = lang.le(columns, lang.add(rows, k) if k else rows)
    else:
        inside = lang.le(lang.add(rows, k) if k else rows, columns)
    return lang.select(inside, x, 0)


@op()
def tril(x: Any, k: int = 0) -> Any:
    """x with zeros above one diagonal of its matrices.

    Args:
        x: tensor of at least two dimensions.
        k: which diagonal: 0 is the main one, positive ones lie above it.

    Returns:
        Tensor like x.

    Example:
        >>> tril([[1, 2], [3, 4]]).tolist()
        [[1, 0], [3, 4]]
    """
    return _triangle(x, k, True)


@op()
def triu(x: Any, k: int = 0) -> Any:
    """x with zeros below one diagonal of its matrices.

    Args:
        x: tensor of at least two dimensions.
        k: which diagonal: 0 is the main one, positive ones lie above it.

    Returns:
        Tensor like x.

    Example:
        >>> triu([[1, 2], [3, 4]]).tolist()
        [[1, 2], [0, 4]]
    """
    return _triangle(x, k, False)


def take_diagonal(x: Any, offset: int, a: int, b: int) -> Any:
    """The diagonals of the matrices in the axes a and b, along a new last axis."""
    n, m = x.shape[a], x.shape[b]
    if n is None or m is None:
        # The size of the result is unknown as well; only shapes are being inferred.
        size = None
    else:
        size = max(min(n, m - offset) if offset >= 0 else min(n + offset, m), 0)
    line = lang.iota((size,), 0, "int32")
    rows = lang.add(line, -offset) if offset < 0 else line
    columns = lang.add(line, offset) if offset > 0 else line
    places = (rows, columns) if a < b else (columns, rows)
    out = lang.gather(x, places, (a, b) if a < b else (b, a))
    ndim = len(out.shape)
    return lang.transpose(out, (*range(1, ndim), 0)) if ndim > 1 else out


@op()
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Diagonals of matrices.

    Args:
        x: tensor of at least two dimensions.
        offset: which diagonal: 0 is the main one, positive ones lie above it.
        axis1: axis of the rows.
        axis2: axis of the columns.

    Returns:
        Tensor without the two axes, and with the diagonals along a new last one.

    Example:
        >>> diagonal([[1, 2], [3, 4]]).tolist()
        [1, 4]
    """
    x = to_tensor(x)
    ndim = len(x.shape)
    if ndim < 2:
        raise ValueError(
            f"diagonal() needs at least two dimensions. Received: shape={tuple(x.shape)}."
        )
    a, b = axis_of(axis1, ndim), axis_of(axis2, ndim)
    if a == b:
        raise ValueError(f"diagonal() needs two different axes. Received: {axis1} and {axis2}.")
    return take_diagonal(x, int(offset), a, b)


@op()
def diag(x: Any, k: int = 0) -> Any:
    """The diagonal of a matrix, or a matrix with a vector on its diagonal.

    Args:
        x: matrix or vector.
        k: which diagonal: 0 is the main one, positive ones lie above it.

    Returns:
        Vector or square matrix.

    Example:
        >>> diag([1, 2]).tolist()
        [[1, 0], [0, 2]]
    """
    x = to_tensor(x)
    if len(x.shape) == 1:
        return _on_diagonal(x, int(k))
    if len(x.shape) == 2:
        return take_diagonal(x, int(k), 0, 1)
    raise ValueError(f"diag() takes a vector or a matrix. Received: shape={tuple(x.shape)}.")


def _on_diagonal(x: Any, k: int) -> Any:
    """Matrix with a vector on its k-th diagonal."""
    n = x.shape[0]
    column = lang.reshape(x, (n, 1))
    if k:
        # Rows above the diagonal's first element and below its last one hold nothing.
        column = lang.pad(column, 0, ((max(-k, 0), max(k, 0), 0), (0, 0, 0)))
    size = column.shape[0]
    rows = lang.iota((size, 1), 0, "int32")
    columns = lang.iota((1, size), 1, "int32")
    return lang.select(lang.eq(lang.add(rows, k), columns), column, 0)


@op()
def diagflat(x: Any, k: int = 0) -> Any:
    """A matrix with the flattened elements on a diagonal.

    Args:
        x: tensor.
        k: which diagonal: 0 is the main one, positive ones lie above it.

    Returns:
        Square matrix.

    Example:
        >>> diagflat([[1, 2]]).tolist()
        [[1, 0], [0, 2]]
    """
    return _on_diagonal(flat(to_tensor(x)), int(k))


# ----- padding -----


def pad_widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    """One `(before, after)` pair per dimension."""
    widths = host_ints(pad_width)
    if widths.__class__ is int:
        return [(widths, widths)] * ndim
    pairs = [w if isinstance(w, (list, tuple)) else None for w in widths]
    if all(p is None for p in pairs):
        # (before, after) for every dimension
        if len(widths) == 1:
            widths = widths * 2
        pairs = [widths]
    if len(pairs) == 1:
        pairs = pairs * ndim
    fits = len(pairs) == ndim and all(p is not None and len(p) in (1, 2) for p in pairs)
    if not fits or any(w < 0 for p in pairs for w in p or ()):
        raise ValueError(
            "pad() takes one pair (before, after) of non-negative widths per dimension. "
            f"Received: pad_width={pad_width} for {ndim} dimensions."
        )
    return [(p[0], p[-1]) for p in pairs if p is not None]


@op(static=("pad_width",))
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    """x with elements added before and after along each axis.

    Args:
        x: tensor.
        pad_width: `(before, after)` per dimension, or one pair or one int for all of them.
        mode: `"constant"`, `"reflect"`, `"symmetric"`, `"edge"` or `"wrap"`.
        constant_values: the value for "constant"; 0 by default.

    Returns:
        Tensor of x's dtype.

    Raises:
        ValueError: the mode is unknown, or `constant_values` comes with another mode.

    Example:
        >>> pad([1, 2, 3], (1, 2)).tolist(), pad([1, 2, 3], 1, mode="reflect").tolist()
        ([0, 1, 2, 3, 0, 0], [2, 1, 2, 3, 2])
    """
    x = to_tensor(x)
    widths = pad_widths(pad_width, len(x.shape))
    if mode == "constant":
        value: Any = 0 if constant_values is None else constant_values
        scalar = type(value) in SCALAR_TYPES
        if not scalar:
            value = to_tensor(value, x.dtype)
        elif x.dtype not in INEXACT_SET:
            value = int(value)
        return lang.pad(x, value, tuple([(a, b, 0) for a, b in widths]))
    if mode not in ("reflect", "symmetric", "edge", "wrap"):
        raise ValueError(
            "[pad] 'mode' must be 'constant', 'reflect', 'symmetric', 'edge' or 'wrap'. "
            f"Received: mode={mode!r}."
        )
    if constant_values is not None:
        raise ValueError(
            f"[pad] 'constant_values' goes with mode='constant' only. Received: mode={mode!r}."
        )
    for axis, width in enumerate(widths):
        if width != (0, 0):
            places = np.pad(np.arange(x.shape[axis], dtype="int32"), width, mode=mode)  # type: ignore[call-overload]
            out = lang.gather(x, (tensor(places),), (axis,))
            order = (*range(1, axis + 1), 0, *range(axis + 1, len(x.shape)))
            x = lang.transpose(out, order) if axis else out
    return x


@op(static=("shape",))
def unravel_index(indices: Any, shape: Any) -> Any:
    """Coordinates of positions in a flattened tensor.

    Args:
        indices: integer tensor of positions; negative ones count from the end.
        shape: shape of the tensor.

    Returns:
        Tuple of integer tensors, one per dimension.

    Example:
        >>> [c.tolist() for c in unravel_index([0, 5], (2, 3))]
        [[0, 1], [0, 2]]
    """
    rest = _index(indices)
    dims = dims_of(shape)
    out: list[Any] = []
    total = 1
    for n in dims:
        total *= n or 0
    rest = lang.select(lang.lt(rest, 0), lang.add(rest, total), rest)
    for n in reversed(dims):
        out.append(lang.mod(rest, n))
        rest = lang.floor_divide(rest, n)
    return tuple(reversed(out))
