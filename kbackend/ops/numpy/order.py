"""Order: sorting, searching, quantiles."""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.operators import promote
from kbackend.ops.define import op
from kbackend.ops.numpy.common import axes_of, axis_of, flat, floating
from kbackend.ops.numpy.index import along_axis


@op()
def sort(x: Any, axis: int | None = -1) -> Any:
    """The elements in ascending order along an axis, NaN last.

    Args:
        x: tensor.
        axis: int; `None` sorts the flattened tensor.

    Returns:
        Tensor like x.

    Example:
        >>> sort([3, 1, 2]).tolist()
        [1, 2, 3]
    """
    x = to_tensor(x)
    if axis is None:
        return lang.sort(flat(x), 0)
    return lang.sort(x, axis_of(axis, len(x.shape)))


@op()
def argsort(x: Any, axis: int | None = -1) -> Any:
    """Positions that sort a tensor along an axis; equal elements keep their order.

    Args:
        x: tensor.
        axis: int; `None` sorts the flattened tensor.

    Returns:
        int32 tensor.

    Example:
        >>> argsort([3, 1, 2]).tolist()
        [1, 2, 0]
    """
    x = to_tensor(x)
    if axis is None:
        return lang.argsort(flat(x), 0)
    return lang.argsort(x, axis_of(axis, len(x.shape)))


@op(static=("kth",))
def argpartition(x: Any, kth: int, axis: int | None = -1) -> Any:
    """Positions that bring the element that sorting puts at `kth` there, lesser ones before it.

    Args:
        x: tensor.
        kth: position in the sorted order.
        axis: int; `None` takes the flattened tensor.

    Returns:
        int32 tensor (the two parts are in order themselves).

    Raises:
        ValueError: `kth` lies outside the axis.

    Example:
        >>> argpartition([3, 1, 2], 0).tolist()[0]
        1
    """
    x = to_tensor(x)
    if axis is None:
        x, axis = flat(x), 0
    axis = axis_of(axis, len(x.shape))
    size = x.shape[axis]
    if size is not None and not -size <= int(kth) < size:
        raise ValueError(
            f"[argpartition] 'kth' lies outside the axis of size {size}. Received: kth={kth}."
        )
    return lang.argsort(x, axis)


@op()
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Any:
    """Where values would go in an ascending vector.

    Args:
        sorted_sequence: vector in ascending order.
        values: tensor.
        side: `"left"` (before equal elements) or `"right"` (after them).

    Returns:
        int32 tensor of the shape of `values`.

    Example:
        >>> searchsorted([1, 3, 5], [3, 4]).tolist()
        [1, 2]
    """
    sequence, wanted = promote(sorted_sequence, values)
    if len(sequence.shape) != 1:
        raise ValueError(
            "searchsorted() takes a vector to search in. "
            f"Received: sorted_sequence.shape={tuple(sequence.shape)}."
        )
    return lang.searchsorted(sequence, wanted, side)


@op()
def digitize(x: Any, bins: Any) -> Any:
    """In which of the bins between ascending edges each element falls.

    Args:
        x: tensor.
        bins: vector of edges in ascending order.

    Returns:
        int32 tensor of x's shape: 0 below the first edge, `len(bins)` from the last one on.

    Example:
        >>> digitize([0.0, 1.0, 2.5], [1.0, 2.0]).tolist()
        [0, 1, 2]
    """
    edges, values = promote(bins, x)
    if len(edges.shape) != 1:
        raise ValueError(f"digitize() takes a vector of edges. Received: {tuple(edges.shape)}.")
    return lang.searchsorted(edges, values, "right")


# ----- quantiles -----

METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(
    x: Any, q: Any, axis: Any, method: str, keepdims: bool, skip_nan: bool, name: str
) -> Any:
    """Quantiles by sorting. With `skip_nan`, each row has as many elements as are numbers."""
    if method not in METHODS:
        raise ValueError(
            f"[{name}] 'method' must be one of {', '.join(METHODS)}. Received: method={method!r}."
        )
    x = floating(x)
    dtype = x.dtype
    work = "float64" if dtype == "float64" else "float32"
    x, q = lang.cast(x, work), lang.cast(q, work)
    ndim = len(x.shape)
    axes = axes_of(axis, ndim)
    # The reduced axes as one, at the end.
    kept = tuple(i for i in range(ndim) if i not in axes)
    shape = tuple(x.shape[i] for i in kept)
    rows = lang.reshape(lang.transpose(x, (*kept, *axes)), (*shape, -1))
    last = len(kept)
    ordered = lang.sort(rows, last)
    nan = lang.ne(ordered, ordered)
    number = lang.reduce_sum(lang.cast(lang.bitwise_xor(nan, True), "int32"), (last,), True)
    total = number if skip_nan else lang.full((*shape, 1), rows.shape[-1], "int32")
    # One column per quantile.
    place = lang.mul(lang.reshape(q, (-1,)), lang.cast(lang.maximum(lang.sub(total, 1), 0), work))
    below, above = lang.floor(place), lang.ceil(place)
    if method == "lower":
        above = below
    elif method == "higher":
        below = above
    elif method == "nearest":
        below = above = lang.round_(place)
    low = along_axis(ordered, lang.cast(below, "int32"), last)
    if below is above:
        out = low
    else:
        high = along_axis(ordered, lang.cast(above, "int32"), last)
        share = 0.5 if method == "midpoint" else lang.sub(place, below)
        if method == "midpoint":
            out = lang.mul(lang.add(low, high), 0.5)
        else:
            # Between equal infinities there is no difference to take a share of.
            gap = lang.select(lang.eq(low, high), 0.0, lang.sub(high, low))
            out = lang.add(low, lang.mul(gap, share))
    bad = lang.eq(number, 0) if skip_nan else lang.lt(number, total)
    out = lang.select(bad, float("nan"), out)
    # The quantiles come first.
    out = lang.transpose(out, (last, *range(last)))
    result = tuple(q.shape)
    if keepdims:
        result += tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    else:
        result += shape
    return lang.cast(lang.reshape(out, result), dtype)


def _fractions(q: Any, scale: float = 1.0) -> Any:
    q = floating(q)
    return q if scale == 1.0 else lang.div(q, scale)


@op()
def quantile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """Quantiles along axes; NaN where there is one.

    Args:
        x: tensor of real numbers.
        q: number or tensor of numbers between 0 and 1.
        axis: int, tuple of ints, or `None` for all axes.
        method: what lies between two elements: `"linear"`, `"lower"`, `"higher"`, `"midpoint"`
            or `"nearest"`.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Floating tensor, with the dimensions of `q` in front.

    Example:
        >>> quantile([1.0, 2.0, 4.0], 0.5).item()
        2.0
    """
    return _quantile(x, _fractions(q), axis, method, keepdims, False, "quantile")


@op()
def percentile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """Percentiles along axes; NaN where there is one.

    Args:
        x: tensor of real numbers.
        q: number or tensor of numbers between 0 and 100.
        axis: int, tuple of ints, or `None` for all axes.
        method: what lies between two elements: `"linear"`, `"lower"`, `"higher"`, `"midpoint"`
            or `"nearest"`.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Floating tensor, with the dimensions of `q` in front.

    Example:
        >>> percentile([1.0, 2.0, 4.0], 50).item()
        2.0
    """
    return _quantile(x, _fractions(q, 100.0), axis, method, keepdims, False, "percentile")


@op()
def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Median along axes; NaN where there is one.

    Args:
        x: tensor of real numbers.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Floating tensor.

    Example:
        >>> median([4.0, 1.0, 2.0]).item()
        2.0
    """
    return _quantile(x, _fractions(0.5), axis, "midpoint", keepdims, False, "median")


@op()
def nanquantile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """Quantiles along axes of the elements that are not NaN.

    Args:
        x: tensor of real numbers.
        q: number or tensor of numbers between 0 and 1.
        axis: int, tuple of ints, or `None` for all axes.
        method: what lies between two elements: `"linear"`, `"lower"`, `"higher"`, `"midpoint"`
            or `"nearest"`.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Floating tensor, with the dimensions of `q` in front.

    Example:
        >>> nanquantile([1.0, float("nan"), 4.0], 0.5).item()
        2.5
    """
    return _quantile(x, _fractions(q), axis, method, keepdims, True, "nanquantile")


@op()
def nanpercentile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """Percentiles along axes of the elements that are not NaN.

    Args:
        x: tensor of real numbers.
        q: number or tensor of numbers between 0 and 100.
        axis: int, tuple of ints, or `None` for all axes.
        method: what lies between two elements: `"linear"`, `"lower"`, `"higher"`, `"midpoint"`
            or `"nearest"`.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Floating tensor, with the dimensions of `q` in front.

    Example:
        >>> nanpercentile([1.0, float("nan"), 4.0], 50).item()
        2.5
    """
    return _quantile(x, _fractions(q, 100.0), axis, method, keepdims, True, "nanpercentile")


@op()
def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Median along axes of the elements that are not NaN.

    Args:
        x: tensor of real numbers.
        axis: int, tuple of ints, or `None` for all axes.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        Floating tensor.

    Example:
        >>> nanmedian([1.0, float("nan"), 4.0]).item()
        2.5
    """
    return _quantile(x, _fractions(0.5), axis, "midpoint", keepdims, True, "nanmedian")
