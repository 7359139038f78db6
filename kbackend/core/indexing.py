"""`x[key]`: NumPy's basic and advanced indexing as slices, reversals, reshapes and gathers."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np

from kbackend.core import lang
from kbackend.core.convert import Readable, to_tensor
from kbackend.core.operators import attach
from kbackend.core.tensor import Tensor

_WHOLE = slice(None)


def _as_tuple(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _is_array(item: Any) -> bool:
    return isinstance(item, (list, np.ndarray, Readable)) or (
        hasattr(item, "dtype") and hasattr(item, "shape")
    )


def _standardize(key: Any, ndim: int) -> list[Any]:
    """One entry per dimension (and `None` per new one), with arrays as tensors."""
    items: list[Any] = []
    for item in _as_tuple(key):
        if isinstance(item, (bool, np.bool_)):
            raise IndexError("Indexing with a single bool is not supported. Use ops.where.")
        if isinstance(item, np.ndarray) and item.ndim == 0 and item.dtype.kind in "iu":
            item = int(item)
        if item is None or item is Ellipsis or isinstance(item, (slice, int)):
            items.append(item)
        elif _is_array(item):
            tensor = to_tensor(item)
            if tensor.dtype == "bool":
                items.extend(
                    to_tensor(found.astype("int32")) for found in np.nonzero(np.asarray(tensor))
                )
            elif tensor.dtype.startswith(("int", "uint")):
                items.append(tensor)
            elif isinstance(item, list) and not item:
                items.append(lang.cast(tensor, "int32"))
            else:
                raise IndexError(
                    f"Only integer or bool tensors can be indices. Received: {tensor.dtype}."
                )
        else:
            try:
                items.append(index(item))
            except TypeError:
                raise IndexError(
                    "An index is an integer, a slice, None, an Ellipsis or an integer or bool "
                    f"tensor. Received: {item!r}."
                ) from None
    taken = sum(item is not None and item is not Ellipsis for item in items)
    if taken > ndim:
        raise IndexError(f"Too many indices: {taken} for a tensor with {ndim} dimensions.")
    ellipses = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(ellipses) > 1:
        raise IndexError("An index can hold one Ellipsis (...) only.")
    place = ellipses[0] if ellipses else len(items)
    items[place : place + len(ellipses)] = [_WHOLE] * (ndim - taken)
    return items


def _position(item: int, n: int | None, axis: int) -> int:
    if n is None:
        if item < 0:
            raise IndexError(
                f"Index {item} counts from the end of dimension {axis}, whose size is unknown."
            )
        return item
    if not -n <= item < n:
        raise IndexError(f"Index {item} is out of bounds for dimension {axis} of size {n}.")
    return item % n


def get_item(x: Any, key: Any) -> Any:
    """`x[key]` as NumPy has it.

    Args:
        x: tensor.
        key: integers, slices, `None`, an Ellipsis, integer or bool tensors, or a tuple of these.

    Returns:
        The selected elements.

    Raises:
        IndexError: an index is out of bounds or of the wrong kind.
    """
    shape = tuple(x.shape)
    items = _standardize(key, len(shape))
    advanced = any(hasattr(item, "aval") for item in items)
    starts: list[int] = []
    stops: list[Any] = []
    steps: list[int] = []
    flipped: list[int] = []
    out_shape: list[Any] = []  # after the basic part, without the dimensions that integers remove
    arrays: list[tuple[int, Any]] = []  # (dimension of that shape, index tensor)
    axis = 0
    for item in items:
        if item is None:
            out_shape.append(1)
            continue
        n = shape[axis]
        if isinstance(item, slice):
            start, stop, step, count = _range(item, n)
            if step < 0:
                flipped.append(axis)
            starts.append(start)
            stops.append(stop)
            steps.append(abs(step))
            out_shape.append(count)
        elif isinstance(item, int) and not advanced:
            at = _position(item, n, axis)
            starts.append(at)
            stops.append(at + 1)
            steps.append(1)
        else:
            # Beside tensors NumPy takes integers for tensors as well.
            found = to_tensor(_position(item, n, axis), "int32") if isinstance(item, int) else item
            arrays.append((len(out_shape), found))
            starts.append(0)
            stops.append(n)
            steps.append(1)
            out_shape.append(n)
        axis += 1
    if tuple(starts) != (0,) * len(starts) or tuple(stops) != shape or any(s != 1 for s in steps):
        x = lang.slice_(x, tuple(starts), tuple(stops), tuple(steps))
    if flipped:
        x = lang.rev(x, tuple(flipped))
    if tuple(x.shape) != tuple(out_shape):
        x = lang.reshape(x, tuple(out_shape))
    return _take(x, arrays) if arrays else x


def _range(item: slice, n: int | None) -> tuple[int, int | None, int, int | None]:
    """Start, stop and step of a slice, in ascending order of elements, and their number."""
    if n is None:
        if item.step not in (None, 1) or (item.start or 0) < 0 or (item.stop or 0) < 0:
            if item == slice(None, None, -1):
                return 0, None, -1, None
            return 0 if (item.start or 0) < 0 else item.start or 0, None, item.step or 1, None
        return item.start or 0, None, 1, None
    start, stop, step = item.indices(n)
    count = len(range(start, stop, step))
    if count == 0:
        return 0, 0, 1, 0
    if step < 0:
        last = start + (count - 1) * step
        return last, start + 1, step, count
    return start, stop, step, count


def _take(x: Any, arrays: list[tuple[int, Any]]) -> Any:
    """Advanced indexing: the dimensions of the indices go where NumPy puts them."""
    axes = tuple(axis for axis, _ in arrays)
    ndim = len(x.shape)
    out = lang.gather(x, [found for _, found in arrays], axes)
    new = len(out.shape) - (ndim - len(axes))
    adjacent = axes == tuple(range(axes[0], axes[0] + len(axes)))
    first = axes[0] if adjacent else 0
    if first == 0:
        return out
    order = (
        *range(new, new + first),
        *range(new),
        *range(new + first, len(out.shape)),
    )
    return lang.transpose(out, tuple(order))


def _iterate(self: Any) -> Any:
    if not self.shape:
        raise TypeError("A scalar tensor can't be iterated over.")
    return (get_item(self, i) for i in range(self.shape[0]))


INDEXING: dict[str, Callable[..., Any]] = {"__getitem__": get_item, "__iter__": _iterate}
attach(Tensor, INDEXING)
