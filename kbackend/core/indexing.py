"""`x[key]`: NumPy's basic and advanced indexing as slices, reversals, reshapes and gathers."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any, NamedTuple

import numpy as np

from kbackend.base import shapes
from kbackend.core import lang
from kbackend.core.convert import Readable, to_tensor
from kbackend.core.operators import attach
from kbackend.core.tensor import Tensor

_WHOLE = slice(None)
_SINGLE_BOOL = "Indexing with a single bool is not supported. Use ops.where."


def _as_tuple(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _is_array(item: Any) -> bool:
    return isinstance(item, (list, range, np.ndarray, Readable)) or (
        hasattr(item, "dtype") and hasattr(item, "shape")
    )


class _Places(NamedTuple):
    """Index tensors on one dimension, made of a mask: its extent there."""

    index: Any
    extent: int


def _standardize(key: Any, ndim: int) -> tuple[list[Any], int | None]:
    """One entry per dimension (and `None` per new one), with arrays as tensors.

    With them goes the place of the Ellipsis, if there is one: even where it stands for no
    dimension, it keeps the index tensors on its sides apart.
    """
    items: list[Any] = []
    for item in _as_tuple(key):
        if isinstance(item, (bool, np.bool_)):
            raise IndexError(_SINGLE_BOOL)
        if isinstance(item, np.ndarray) and item.ndim == 0 and item.dtype.kind in "iu":
            item = int(item)
        if item is None or item is Ellipsis or isinstance(item, (slice, int)):
            items.append(item)
        elif _is_array(item):
            tensor = to_tensor(item)
            if tensor.dtype == "bool":
                if not tensor.shape:
                    raise IndexError(_SINGLE_BOOL)
                host = np.asarray(tensor)
                items.extend(
                    _Places(to_tensor(found.astype("int32")), extent)
                    for found, extent in zip(np.nonzero(host), host.shape, strict=True)
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
    return items, place if ellipses else None


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
    items, gap = _standardize(key, len(shape))
    advanced = any(hasattr(item, "aval") or item.__class__ is _Places for item in items)
    starts: list[int] = []
    stops: list[Any] = []
    steps: list[int] = []
    flipped: list[int] = []
    out_shape: list[Any] = []  # after the basic part, without the dimensions that integers remove
    arrays: list[tuple[int, Any]] = []  # (dimension of that shape, index tensor)
    sides: set[bool] = set()  # of the Ellipsis, on which there are index tensors
    axis = 0
    for place, item in enumerate(items):
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
            arrays.append((len(out_shape), _index_tensor(item, n, axis)))
            sides.add(gap is not None and place < gap)
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
    return _take(x, arrays, len(sides) > 1) if arrays else x


def _index_tensor(item: Any, n: int | None, axis: int) -> Any:
    """An entry of the key that selects places of a dimension, as an integer tensor."""
    if isinstance(item, int):
        return to_tensor(_position(item, n, axis), "int32")
    if item.__class__ is _Places:
        if n is not None and item.extent != n:
            raise IndexError(
                f"A bool index must have the size of dimension {axis}, which is {n}. Received: "
                f"{item.extent}."
            )
        return item.index
    return item


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


def _take(x: Any, arrays: list[tuple[int, Any]], apart: bool) -> Any:
    """Advanced indexing: the dimensions of the indices go where NumPy puts them."""
    axes = tuple(axis for axis, _ in arrays)
    if len(arrays) > 1:
        try:
            shapes.broadcast(*(tuple(found.shape) for _, found in arrays))
        except ValueError as error:
            raise IndexError(f"The index tensors don't fit together: {error}") from None
    ndim = len(x.shape)
    out = lang.gather(x, [found for _, found in arrays], axes)
    new = len(out.shape) - (ndim - len(axes))
    adjacent = not apart and axes == tuple(range(axes[0], axes[0] + len(axes)))
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
