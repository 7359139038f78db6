"""Sets of values, counts and histograms."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.base.dtypes import is_int, result_type
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.operators import promote
from kbackend.core.tensor import tensor
from kbackend.ops.define import op
from kbackend.ops.numpy.common import axis_of, count, flat, is_symbolic, negate, part


@op()
def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The different elements, in ascending order.

    Args:
        x: tensor with values.
        sorted: accepted for compatibility; the result is always in ascending order.
        return_index: whether to return where each of them occurs first.
        return_inverse: whether to return which of them each element of x is.
        return_counts: whether to return how often each occurs.
        axis: int, to compare slices along it; by default the flattened tensor is taken.
        size: number of elements to return: further ones are left out, missing ones filled up.
        fill_value: what to fill up with; the first (least) element by default.

    Returns:
        Tensor of different elements, or a tuple of it and the int32 tensors asked for.

    Raises:
        ValueError: x has no values (it is symbolic).

    Example:
        >>> unique([3, 1, 3, 2]).tolist()
        [1, 2, 3]
    """
    if is_symbolic(x):
        raise ValueError(
            "unique() has a result that depends on the values in shape and content, which a "
            "symbolic tensor does not have. Call it on tensors, outside of functional models."
        )
    x = to_tensor(x)
    if axis is not None:
        axis = axis_of(axis, len(x.shape))
    host = np.asarray(x)
    found, index, inverse, counts = np.unique(
        host, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    along = axis or 0
    if size is not None:
        found, index, counts = _resize(found, index, counts, int(size), along, fill_value)
    out = [tensor(found, x.dtype)]
    shape = host.shape if axis is None else (host.shape[axis],)
    if return_index:
        out.append(tensor(index.astype("int32")))
    if return_inverse:
        out.append(tensor(inverse.reshape(shape).astype("int32")))
    if return_counts:
        out.append(tensor(counts.astype("int32")))
    return out[0] if len(out) == 1 else tuple(out)


def _resize(
    found: Any, index: Any, counts: Any, size: int, axis: int, fill_value: Any
) -> tuple[Any, Any, Any]:
    """Unique values, their first places and counts, cut or filled up to `size`."""
    more = size - found.shape[axis]
    if more <= 0:
        keep = np.arange(size)
        return np.take(found, keep, axis), index[:size], counts[:size]
    shape = list(found.shape)
    shape[axis] = more
    if fill_value is None:
        least = np.take(found, [0], axis) if found.size else np.zeros((), found.dtype)
    else:
        least = np.asarray(fill_value, found.dtype)
    filling = np.broadcast_to(least, shape)
    first = index[:1] if index.size else np.zeros(1, index.dtype)
    return (
        np.concatenate([found, filling], axis),
        np.concatenate([index, np.repeat(first, more)]),
        np.concatenate([counts, np.zeros(more, counts.dtype)]),
    )


# Up to so many elements, comparing all pairs is quicker than sorting.
_FEW = 16


@op()
def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    """Where the elements of a tensor are among those of another.

    Args:
        x1: tensor.
        x2: tensor of the elements to look for.
        assume_unique: accepted for compatibility.
        invert: whether to tell where they are not.

    Returns:
        bool tensor of the shape of x1.

    Example:
        >>> isin([1, 2, 3], [2, 5]).tolist()
        [False, True, False]
    """
    x, y = promote(x1, x2)
    if x.dtype == "bool":
        x, y = lang.cast(x, "int32"), lang.cast(y, "int32")
    y = flat(y)
    size = y.shape[0]
    if size is not None and size <= _FEW:
        hits = lang.eq(lang.reshape(x, (*x.shape, 1)), y)
        number = lang.reduce_sum(lang.cast(hits, "int32"), (len(x.shape),))
        found = lang.ne(number, 0)
    else:
        ordered = lang.sort(y, 0)
        place = lang.searchsorted(ordered, x, "left")
        last = 0 if size is None else size - 1
        found = lang.eq(lang.gather(ordered, (lang.minimum(place, last),), (0,)), x)
    return negate(found) if invert else found


@op(tensors=("weights",))
def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    """How often each of the numbers 0, 1, 2, ... occurs.

    Args:
        x: vector of non-negative integers, or a matrix whose rows are counted one by one.
        weights: tensor of x's shape to be summed up instead of ones.
        minlength: least number of counts to return.
        sparse: must be false; only dense tensors are supported.

    Returns:
        Tensor of counts along its last axis: int32, or of the dtype of the weights.

    Raises:
        ValueError: `sparse` is true, or x has too many dimensions.
        TypeError: x is not of an integer dtype.

    Example:
        >>> bincount([1, 2, 2], minlength=4).tolist()
        [0, 1, 2, 0]
    """
    if sparse:
        raise ValueError("[bincount] only dense tensors are supported. Received: sparse=True.")
    x = to_tensor(x)
    if x.dtype == "bool":
        x = lang.cast(x, "int32")
    if not is_int(x.dtype):
        raise TypeError(f"[bincount] takes integers. Received: {x.dtype}.")
    if len(x.shape) not in (1, 2):
        raise ValueError(
            f"[bincount] takes a vector or a matrix. Received: shape={tuple(x.shape)}."
        )
    if weights is not None:
        weights = to_tensor(weights)
        if weights.dtype in ("bool", "int8", "int16", "uint8", "uint16"):
            weights = lang.cast(weights, "int32")
    dtype = "int32" if weights is None else weights.dtype
    lead = tuple(x.shape[:-1])
    if is_symbolic(x):
        return lang.full((*lead, None), 0, dtype)
    host = np.asarray(x)
    if host.size and host.min() < 0:
        raise ValueError(f"[bincount] takes non-negative integers. Received: {host.min()}.")
    length = max(int(host.max()) + 1 if host.size else 0, int(minlength))
    base = lang.full((*lead, length), 0, dtype)
    if not host.size:
        return base
    if weights is None:
        weights = lang.full(tuple(x.shape), 1, dtype)
    if not lead:
        return lang.scatter(base, weights, (x,), (0,), "add")
    rows = lang.cast(lang.iota((lead[0], 1), 0, "int32"), x.dtype)
    return lang.scatter(base, weights, (rows, x), (0, 1), "add")


@op()
def histogram(x: Any, bins: Any = 10, range: Any = None) -> Any:
    """How many elements fall into each bin of a row of bins of one width.

    Args:
        x: tensor of real numbers.
        bins: number of bins, or an ascending vector of their edges.
        range: `(least, greatest)` edge; by default those of the values. Elements outside do not
            count.

    Returns:
        The counts and the edges, of which there is one more, both floating. The last bin includes
        its upper edge.

    Raises:
        ValueError: `bins` is not positive, or `range` is not ascending.

    Example:
        >>> counts, edges = histogram([1.0, 2.0, 2.5, 4.0], bins=3)
        >>> counts.tolist(), edges.tolist()
        ([1.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0])
    """
    x = to_tensor(x)
    kind = result_type(x.dtype, float)
    work = "float64" if kind == "float64" else "float32"
    x = flat(lang.cast(x, work))
    if isinstance(bins, int):
        edges = _edges(x, bins, range, work)
    else:
        edges = to_tensor(bins, work)
    size = edges.shape[0]
    place = lang.searchsorted(edges, x, "right")
    last = part(edges, 0, size - 1, size)
    # The upper edge belongs to the last bin.
    place = lang.select(lang.eq(x, last), size - 1, place)
    # The first and the last count are those outside.
    base = lang.full((size + 1,), 0, "int32")
    place = lang.select(lang.ne(x, x), size, place)
    counts = lang.scatter(base, lang.cast(lang.eq(place, place), "int32"), (place,), (0,), "add")
    return lang.cast(part(counts, 0, 1, size), kind), lang.cast(edges, kind)


def _edges(x: Any, bins: int, limits: Any, work: str) -> Any:
    """Edges of `bins` bins of one width."""
    if bins < 1:
        raise ValueError(f"[histogram] 'bins' must be positive. Received: bins={bins}.")
    if limits is not None:
        low, high = (float(v) for v in limits)
        if low > high:
            raise ValueError(f"[histogram] 'range' must be ascending. Received: range={limits}.")
        least, greatest = lang.full((), low, work), lang.full((), high, work)
    elif count(x, (0,)) == 0:
        least, greatest = lang.full((), 0.0, work), lang.full((), 1.0, work)
    else:
        least, greatest = lang.reduce_min(x, (0,)), lang.reduce_max(x, (0,))
    # One value only: a bin around it.
    narrow = lang.eq(least, greatest)
    least = lang.select(narrow, lang.sub(least, 0.5), least)
    greatest = lang.select(narrow, lang.add(greatest, 0.5), greatest)
    share = lang.div(lang.iota((bins + 1,), 0, work), float(bins))
    inner = lang.add(least, lang.mul(lang.sub(greatest, least), share))
    return lang.select(lang.eq(share, 1.0), greatest, inner)
