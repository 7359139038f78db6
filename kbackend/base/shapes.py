"""Shape arithmetic: broadcasting, reductions, convolution and pooling sizes. Pure functions.

A shape is a tuple of ints; an unknown dimension is `None` and is carried through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from operator import index
from typing import Any

Dim = int | None
Shape = tuple[Dim, ...]


def standardize_shape(shape: Any, allow_unknown: bool = True) -> Shape:
    """A shape given as an int, list or tuple, checked and turned into a tuple.

    Raises:
        ValueError: a dimension is negative, not an integer, or unknown where that is not allowed.
    """
    if shape is None:
        raise ValueError("A shape can't be None. Pass a tuple such as (None, 3).")
    if not isinstance(shape, (tuple, list)):
        shape = tuple(shape) if hasattr(shape, "__iter__") else (shape,)
    dims: list[Dim] = []
    for dim in shape:
        if dim is None and allow_unknown:
            dims.append(None)
            continue
        try:
            size = index(dim)
        except TypeError:
            raise ValueError(
                f"A shape holds non-negative integers{' or None' if allow_unknown else ''}. "
                f"Received: shape={tuple(shape)}."
            ) from None
        if size < 0:
            raise ValueError(f"A dimension can't be negative. Received: shape={tuple(shape)}.")
        dims.append(size)
    return tuple(dims)


def is_known(shape: Iterable[Dim]) -> bool:
    """Whether every dimension is known."""
    return None not in shape


def size_of(shape: Sequence[Dim]) -> Dim:
    """Number of elements, `None` when a dimension is unknown (unless another one is zero)."""
    if None in shape:
        return 0 if 0 in shape else None
    return prod(shape)  # type: ignore[arg-type]


def broadcast(*shapes: Shape) -> Shape:
    """The shape that `shapes` broadcast to together.

    Raises:
        ValueError: they are incompatible.

    Example:
        >>> broadcast((4, 1), (3,)), broadcast((None, 3), (1, 3))
        ((4, 3), (None, 3))
    """
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    ndim = max(len(shape) for shape in shapes)
    out: list[Dim] = []
    for axis in range(-ndim, 0):
        dims = {shape[axis] for shape in shapes if len(shape) >= -axis}
        dims.discard(1)
        if not dims:
            out.append(1)
            continue
        known = dims - {None}
        if len(known) > 1:
            raise ValueError(
                f"Shapes {' and '.join(map(str, shapes))} can't be broadcast together: "
                f"dimension {axis} is {' and '.join(str(d) for d in sorted(known))}."  # type: ignore[type-var]
            )
        # A known size other than 1 decides; an unknown one must then be 1 or equal to it.
        out.append(known.pop() if known else None)
    return tuple(out)


def canonical_axis(axis: int, ndim: int) -> int:
    """`axis` counted from the front.

    Raises:
        ValueError: it lies outside `[-ndim, ndim)`.
    """
    try:
        axis = index(axis)
    except TypeError:
        raise ValueError(f"An axis must be an integer. Received: axis={axis!r}.") from None
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis={axis} is out of bounds for a tensor with {ndim} dimensions.")
    return axis + ndim if axis < 0 else axis


def canonical_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Axes counted from the front, sorted; `None` means all of them."""
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, (tuple, list)):
        return (canonical_axis(axis, ndim),)
    axes = sorted(canonical_axis(a, ndim) for a in axis)
    if len(set(axes)) != len(axes):
        raise ValueError(f"An axis is named twice. Received: axis={tuple(axis)}.")
    return tuple(axes)


def reduced(shape: Shape, axes: tuple[int, ...], keepdims: bool) -> Shape:
    """Shape after a reduction over `axes`."""
    if keepdims:
        return tuple(1 if i in axes else d for i, d in enumerate(shape))
    return tuple(d for i, d in enumerate(shape) if i not in axes)


def reshaped(shape: Shape, new: Sequence[Dim]) -> Shape:
    """The target of a reshape with at most one -1 filled in.

    `None` in `new` is an unknown dimension, allowed only where `shape` has one as well.

    Raises:
        ValueError: the sizes differ, or two dimensions are -1.
    """
    target = tuple(new)
    if target.count(-1) > 1:
        raise ValueError(f"At most one dimension may be -1. Received: {target}.")
    total = size_of(shape)
    rest = [d for d in target if d != -1]
    known = size_of(rest)
    if -1 in target:
        fill: Dim = None
        if total is not None and known is not None:
            if known == 0 or total % known:
                raise ValueError(f"Can't reshape {shape} into {target}: the sizes differ.")
            fill = total // known
        elif shape.count(None) == 1 and None in rest:
            # (None, 4, 5) -> (None, -1): the unknown dimension stays, the rest is known.
            inner = prod(d for d in shape if d is not None)
            kept = prod(d for d in rest if d is not None)
            if rest.count(None) == 1 and kept and inner % kept == 0:
                fill = inner // kept
        return tuple(fill if d == -1 else d for d in target)
    if total is not None and known is not None and total != known:
        raise ValueError(
            f"Can't reshape a tensor of shape {shape} ({total} elements) into {target} "
            f"({known} elements)."
        )
    if total is not None and target.count(None) == 1:
        # The unknown one follows from the others.
        others = prod(d for d in target if d is not None)
        if others and total % others == 0:
            return tuple(total // others if d is None else d for d in target)
    return target


# ----- Windows: convolution and pooling -----


def window_output(
    size: Dim, window: int, stride: int, padding: tuple[int, int], dilation: int = 1
) -> Dim:
    """Number of positions of a (dilated) window along one padded dimension."""
    if size is None:
        return None
    span = (window - 1) * dilation + 1
    return max((size + padding[0] + padding[1] - span) // stride + 1, 0)


def window_padding(
    padding: str, sizes: Sequence[Dim], window: Sequence[int], strides: Sequence[int],
    dilation: Sequence[int],
) -> tuple[tuple[int, int], ...]:  # fmt: skip
    """Explicit `(low, high)` padding per dimension for `"valid"`, `"same"` or `"causal"`.

    "same" makes the output `ceil(size / stride)` long, the odd element of padding going to the
    high side. An unknown size is taken as a multiple of the stride.
    """
    if padding == "valid":
        return ((0, 0),) * len(window)
    pairs = []
    for size, k, s, d in zip(sizes, window, strides, dilation, strict=True):
        span = (k - 1) * d + 1
        if padding == "causal":
            pairs.append((span - 1, 0))
            continue
        out = None if size is None else -(-size // s)
        total = max(span - s, 0) if size is None else max((out - 1) * s + span - size, 0)  # type: ignore[operator]
        pairs.append((total // 2, total - total // 2))
    return tuple(pairs)
