"""The same elements in another shape or order."""

from __future__ import annotations

from typing import Any

from kbackend.base import shapes
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.numpy.common import axes_of, axis_of, count, dims_of, flat, insert_axis, part


@op()
def ndim(x: Any) -> Any:
    """Number of dimensions.

    Args:
        x: tensor.

    Returns:
        int.

    Example:
        >>> ndim([[1, 2]])
        2
    """
    return len(to_tensor(x).shape)


@op()
def size(x: Any) -> Any:
    """Number of elements.

    Args:
        x: tensor.

    Returns:
        int; an int32 scalar for a symbolic tensor with unknown dimensions.

    Example:
        >>> size([[1, 2]])
        2
    """
    x = to_tensor(x)
    return lang.full((), 0, "int32") if None in x.shape else count(x, tuple(range(len(x.shape))))


@op(static=("newshape",))
def reshape(x: Any, newshape: Any) -> Any:
    """The elements in another shape.

    Args:
        x: tensor.
        newshape: int or tuple of ints; one of them may be -1 and is then worked out.

    Returns:
        Tensor of the same elements in row-major order.

    Example:
        >>> reshape([1, 2, 3, 4], (2, -1)).tolist()
        [[1, 2], [3, 4]]
    """
    x = to_tensor(x)
    dims = dims_of(newshape)
    if None in dims and None not in x.shape:
        dims = tuple(-1 if d is None else d for d in dims)
    return lang.reshape(x, dims)


@op()
def ravel(x: Any) -> Any:
    """The elements as a vector.

    Args:
        x: tensor.

    Returns:
        Vector of the elements in row-major order.

    Example:
        >>> ravel([[1, 2], [3, 4]]).tolist()
        [1, 2, 3, 4]
    """
    return flat(to_tensor(x))


@op()
def transpose(x: Any, axes: Any = None) -> Any:
    """The dimensions in another order.

    Args:
        x: tensor.
        axes: tuple with the old place of each new dimension; reversed by default.

    Returns:
        Tensor of the same elements.

    Example:
        >>> transpose([[1, 2], [3, 4]]).tolist()
        [[1, 3], [2, 4]]
    """
    x = to_tensor(x)
    ndim = len(x.shape)
    if axes is None:
        return lang.transpose(x, tuple(range(ndim - 1, -1, -1))) if ndim > 1 else x
    return lang.transpose(x, tuple([axis_of(axis, ndim) for axis in axes]))


@op(static=("source", "destination"))
def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Some dimensions moved, the others in their order.

    Args:
        x: tensor.
        source: old place or places.
        destination: new place of each.

    Returns:
        Tensor of the same elements.

    Example:
        >>> moveaxis(np.zeros((2, 3, 4)), 0, -1).shape
        (3, 4, 2)
    """
    x = to_tensor(x)
    ndim = len(x.shape)
    old = [axis_of(a, ndim) for a in (source if isinstance(source, (tuple, list)) else [source])]
    new = [
        axis_of(a, ndim)
        for a in (destination if isinstance(destination, (tuple, list)) else [destination])
    ]
    if len(old) != len(new) or len(set(old)) != len(old) or len(set(new)) != len(new):
        raise ValueError(
            "moveaxis() needs as many different destinations as different sources. "
            f"Received: source={source}, destination={destination}."
        )
    order = [i for i in range(ndim) if i not in old]
    for to, at in sorted(zip(new, old, strict=True)):
        order.insert(to, at)
    return lang.transpose(x, tuple(order))


@op(static=("axis1", "axis2"))
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two dimensions exchanged.

    Args:
        x: tensor.
        axis1: one of them.
        axis2: the other.

    Returns:
        Tensor of the same elements.

    Example:
        >>> swapaxes(np.zeros((2, 3, 4)), 0, 2).shape
        (4, 3, 2)
    """
    x = to_tensor(x)
    ndim = len(x.shape)
    a, b = axis_of(axis1, ndim), axis_of(axis2, ndim)
    order = list(range(ndim))
    order[a], order[b] = b, a
    return lang.transpose(x, tuple(order))


@op(static=("axis",))
def expand_dims(x: Any, axis: Any) -> Any:
    """New dimensions of size 1.

    Args:
        x: tensor.
        axis: place, or tuple of places, in the result.

    Returns:
        Tensor of the same elements.

    Example:
        >>> expand_dims([1, 2], 0).shape, expand_dims([1, 2], (0, -1)).shape
        ((1, 2), (1, 2, 1))
    """
    x = to_tensor(x)
    if axis.__class__ is int:
        return insert_axis(x, axis_of(axis, len(x.shape) + 1))
    places = axis if isinstance(axis, (tuple, list)) else (axis,)
    ndim = len(x.shape) + len(places)
    new = shapes.canonical_axes(tuple(places), ndim)
    old = iter(x.shape)
    return lang.reshape(x, tuple([1 if i in new else next(old) for i in range(ndim)]))


@op()
def squeeze(x: Any, axis: Any = None) -> Any:
    """Dimensions of size 1 removed.

    Args:
        x: tensor.
        axis: which, an int or tuple; all of size 1 by default.

    Returns:
        Tensor of the same elements.

    Raises:
        ValueError: a named dimension is not of size 1.

    Example:
        >>> squeeze([[[1, 2]]]).shape, squeeze([[[1, 2]]], 0).shape
        ((2,), (1, 2))
    """
    x = to_tensor(x)
    shape = tuple(x.shape)
    if axis is None:
        return lang.reshape(x, tuple([d for d in shape if d != 1]))
    axes = axes_of(axis, len(shape))
    for i in axes:
        if shape[i] not in (1, None):
            raise ValueError(
                "squeeze() removes dimensions of size 1 only. "
                f"Received: axis={axis}, shape={shape}."
            )
    return lang.reshape(x, tuple([d for i, d in enumerate(shape) if i not in axes]))


@op(static=("shape",))
def broadcast_to(x: Any, shape: Any) -> Any:
    """The elements repeated along new leading dimensions and dimensions of size 1.

    Args:
        x: tensor.
        shape: shape of the result.

    Returns:
        Tensor of that shape.

    Example:
        >>> broadcast_to([1, 2], (2, 2)).tolist()
        [[1, 2], [1, 2]]
    """
    return lang.broadcast_to(to_tensor(x), dims_of(shape))


@op()
def flip(x: Any, axis: Any = None) -> Any:
    """The elements in reverse order along axes.

    Args:
        x: tensor.
        axis: int, tuple of ints, or `None` for all axes.

    Returns:
        Tensor like x.

    Example:
        >>> flip([[1, 2], [3, 4]], 1).tolist()
        [[2, 1], [4, 3]]
    """
    x = to_tensor(x)
    return lang.rev(x, axes_of(axis, len(x.shape)))


@op()
def flipud(x: Any) -> Any:
    """The rows (the first dimension) in reverse order.

    Args:
        x: tensor of at least one dimension.

    Returns:
        Tensor like x.

    Example:
        >>> flipud([[1, 2], [3, 4]]).tolist()
        [[3, 4], [1, 2]]
    """
    x = to_tensor(x)
    return lang.rev(x, (axis_of(0, len(x.shape)),))


@op()
def fliplr(x: Any) -> Any:
    """The columns (the second dimension) in reverse order.

    Args:
        x: tensor of at least two dimensions.

    Returns:
        Tensor like x.

    Example:
        >>> fliplr([[1, 2], [3, 4]]).tolist()
        [[2, 1], [4, 3]]
    """
    x = to_tensor(x)
    return lang.rev(x, (axis_of(1, len(x.shape)),))


@op()
def rot90(array: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """A rotation by multiples of 90 degrees in the plane of two axes.

    Args:
        array: tensor of at least two dimensions.
        k: number of quarter turns, from the first of the axes towards the second.
        axes: the two axes.

    Returns:
        The rotated tensor.

    Example:
        >>> rot90([[1, 2], [3, 4]]).tolist()
        [[2, 4], [1, 3]]
    """
    x = to_tensor(array)
    ndim = len(x.shape)
    if ndim < 2:
        raise ValueError(
            f"rot90() needs at least two dimensions. Received: shape={tuple(x.shape)}."
        )
    if len(axes) != 2 or axis_of(axes[0], ndim) == axis_of(axes[1], ndim):
        raise ValueError(
            f"rot90() turns in the plane of two different axes. Received: axes={axes}."
        )
    a, b = axis_of(axes[0], ndim), axis_of(axes[1], ndim)
    turns = k % 4
    if turns == 0:
        return x
    if turns == 2:
        return lang.rev(x, (a, b) if a < b else (b, a))
    order = list(range(ndim))
    order[a], order[b] = b, a
    if turns == 1:
        return lang.transpose(lang.rev(x, (b,)), tuple(order))
    return lang.rev(lang.transpose(x, tuple(order)), (b,))


@op(static=("shift",))
def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """The elements moved along axes; those that leave at one end come back at the other.

    Args:
        x: tensor.
        shift: number of places, or one per axis.
        axis: int or tuple of ints; by default the flattened tensor is rolled.

    Returns:
        Tensor like x.

    Example:
        >>> roll([1, 2, 3], 1).tolist()
        [3, 1, 2]
    """
    x = to_tensor(x)
    if axis is None:
        return lang.reshape(_roll(flat(x), int(shift), 0), tuple(x.shape))
    axes = list(axis) if isinstance(axis, (tuple, list)) else [axis]
    shifts = list(shift) if isinstance(shift, (tuple, list)) else [shift]
    if len(shifts) == 1:
        shifts *= len(axes)
    if len(axes) == 1:
        axes *= len(shifts)
    if len(axes) != len(shifts):
        raise ValueError(f"roll() needs one shift per axis. Received: shift={shift}, axis={axis}.")
    for places, at in zip(shifts, axes, strict=True):
        x = _roll(x, int(places), axis_of(at, len(x.shape)))
    return x


def _roll(x: Any, shift: int, axis: int) -> Any:
    n = x.shape[axis]
    if n is None:
        return x  # only shapes are being inferred
    cut = (n - shift) % n if n else 0
    if cut == 0:
        return x
    return lang.concatenate([part(x, axis, cut, n), part(x, axis, 0, cut)], axis)


@op(static=("repeats",))
def tile(x: Any, repeats: Any) -> Any:
    """The whole tensor repeated along each axis.

    Args:
        x: tensor.
        repeats: number of copies per axis; shorter ones are filled up with 1 in front.

    Returns:
        Tensor whose dimensions are multiplied.

    Example:
        >>> tile([1, 2], 2).tolist()
        [1, 2, 1, 2]
    """
    x = to_tensor(x)
    times = [int(r) for r in dims_of(repeats)]  # type: ignore[arg-type]
    shape = list(x.shape)
    times = [1] * (len(shape) - len(times)) + times
    shape = [1] * (len(times) - len(shape)) + shape
    if all(t == 1 for t in times):
        return lang.reshape(x, tuple(shape))
    narrow: list[Any] = []
    wide: list[Any] = []
    for n, t in zip(shape, times, strict=True):
        narrow += [1, n]
        wide += [t, n]
    out = lang.broadcast_to(lang.reshape(x, tuple(narrow)), tuple(wide))
    return lang.reshape(
        out, tuple(None if n is None else n * t for n, t in zip(shape, times, strict=True))
    )


@op(static=("repeats",))
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element repeated along an axis.

    Args:
        x: tensor.
        repeats: number of copies of every element, or of each element along the axis.
        axis: int; by default the flattened tensor is repeated.

    Returns:
        Tensor that is longer along the axis.

    Example:
        >>> repeat([1, 2], 2).tolist(), repeat([1, 2], [1, 3]).tolist()
        ([1, 1, 2, 2], [1, 2, 2, 2])
    """
    x = to_tensor(x)
    if axis is None:
        x, axis = flat(x), 0
    axis = axis_of(axis, len(x.shape))
    shape = tuple(x.shape)
    n = shape[axis]
    counts = dims_of(repeats)
    if len(counts) != 1:
        if n is not None and len(counts) != n:
            raise ValueError(
                f"repeat() needs one count per element along axis {axis}. "
                f"Received: {len(counts)} counts for shape={shape}."
            )
        places = [i for i, times in enumerate(counts) for _ in range(times or 0)]
        out = lang.gather(x, (to_tensor(places, "int32"),), (axis,))
        order = (*range(1, axis + 1), 0, *range(axis + 1, len(shape)))
        return lang.transpose(out, order) if axis else out
    times = int(counts[0] or 0)
    wide = (*shape[: axis + 1], times, *shape[axis + 1 :])
    out = lang.broadcast_to(insert_axis(x, axis + 1), wide)
    return lang.reshape(out, (*shape[:axis], None if n is None else n * times, *shape[axis + 1 :]))
