"""Rules of movement and creation. Gradients are movements in the opposite direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbackend.base import dtypes, shapes
from kbackend.base.shapes import Shape
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.primitive import NO_GRADIENT
from kbackend.prim.common import require_same_dtype

Ints = tuple[int, ...]

# ----- shape rules -----


def reshaping(x: Aval, *, shape: Shape) -> Aval:
    """Shape rule of `reshape`."""
    return Aval(shapes.reshaped(x.shape, shape), x.dtype)


def transposing(x: Aval, *, axes: Ints) -> Aval:
    """Shape rule of `transpose`."""
    if sorted(axes) != list(range(len(x.shape))):
        raise ValueError(f"axes={axes} is not a permutation of the {len(x.shape)} dimensions.")
    return Aval(tuple(x.shape[axis] for axis in axes), x.dtype)


def broadcasting_to(x: Aval, *, shape: Shape) -> Aval:
    """Shape rule of `broadcast_to`."""
    if len(shape) < len(x.shape):
        raise ValueError(f"Can't broadcast {x.shape} to fewer dimensions: {shape}.")
    for have, want in zip(reversed(x.shape), reversed(shape), strict=False):
        if have not in (1, None, want) and want is not None:
            raise ValueError(f"Can't broadcast {x.shape} to {shape}.")
    return Aval(tuple(shape), x.dtype)


def padding(x: Aval, value: Aval, *, widths: tuple[Ints, ...]) -> Aval:
    """Shape rule of `pad`."""
    require_same_dtype(x, value)
    if len(widths) != len(x.shape) or value.shape != ():
        raise ValueError(f"Needs one width per dimension and a scalar value. Widths: {widths}.")
    if any(w < 0 for width in widths for w in width):
        raise ValueError(f"Widths can't be negative. Received: {widths}.")
    return Aval(
        tuple(
            None if n is None else low + n + max(n - 1, 0) * gap + high
            for n, (low, high, gap) in zip(x.shape, widths, strict=True)
        ),
        x.dtype,
    )


def slicing(x: Aval, *, starts: Ints, stops: Shape, steps: Ints) -> Aval:
    """Shape rule of `slice`. A stop of `None` stands for the end of an unknown dimension."""
    if not len(starts) == len(stops) == len(steps) == len(x.shape):
        raise ValueError(f"Needs a start, a stop and a step per dimension of {x.shape}.")
    dims: list[int | None] = []
    for n, start, stop, step in zip(x.shape, starts, stops, steps, strict=True):
        if stop is None or (n is None and start < 0):
            dims.append(None)
            continue
        if step < 1 or start < 0 or (n is not None and stop > n):
            raise ValueError(f"Slice {start}:{stop}:{step} lies outside a dimension of size {n}.")
        dims.append(max(-(-(stop - start) // step), 0))
    return Aval(tuple(dims), x.dtype)


def reversing(x: Aval, *, axes: Ints) -> Aval:
    """Shape rule of `rev`."""
    shapes.canonical_axes(axes, len(x.shape))
    return x


def concatenating(*xs: Aval, axis: int) -> Aval:
    """Shape rule of `concatenate`."""
    if not xs:
        raise ValueError("Needs at least one tensor.")
    dtype = require_same_dtype(*xs)
    axis = shapes.canonical_axis(axis, len(xs[0].shape))
    dims = list(xs[0].shape)
    for x in xs[1:]:
        if len(x.shape) != len(dims):
            raise ValueError("The tensors must have the same number of dimensions.")
        for i, n in enumerate(x.shape):
            if i == axis:
                dims[i] = None if dims[i] is None or n is None else dims[i] + n  # type: ignore[operator]
            elif dims[i] is None:
                dims[i] = n
            elif n is not None and n != dims[i]:
                raise ValueError(
                    f"The shapes must agree except along axis {axis}; they differ along axis {i}."
                )
    return Aval(tuple(dims), dtype)


def dynamic_slicing(x: Aval, starts: Aval, *, sizes: Ints) -> Aval:
    """Shape rule of `dynamic_slice`."""
    if starts.shape != (len(x.shape),) or len(sizes) != len(x.shape):
        raise ValueError(f"Needs a start and a size per dimension of {x.shape}.")
    if any(n is not None and size > n for n, size in zip(x.shape, sizes, strict=True)):
        raise ValueError(f"A block of {sizes} does not fit into {x.shape}.")
    return Aval(tuple(sizes), x.dtype)


def dynamic_updating(x: Aval, update: Aval, starts: Aval) -> Aval:
    """Shape rule of `dynamic_update_slice`."""
    require_same_dtype(x, update)
    if starts.shape != (len(x.shape),) or len(update.shape) != len(x.shape):
        raise ValueError(f"Needs a start per dimension of {x.shape} and an update of its rank.")
    pairs = zip(x.shape, update.shape, strict=True)
    if any(n is not None and size is not None and size > n for n, size in pairs):
        raise ValueError(f"An update of shape {update.shape} does not fit into {x.shape}.")
    return x


def filling(*, shape: Shape, value: Any, dtype: str) -> Aval:
    """Shape rule of `full`."""
    if value is None:
        raise TypeError(f"'value' must be a number. Received: value=None, shape={shape}.")
    return Aval(shapes.standardize_shape(shape), dtypes.standardize_dtype(dtype))


def counting(*, shape: Shape, axis: int, dtype: str) -> Aval:
    """Shape rule of `iota`."""
    shapes.canonical_axis(axis, len(shape))
    return Aval(shapes.standardize_shape(shape), dtypes.standardize_dtype(dtype))


# ----- gradients -----


def _inverse(axes: Ints) -> Ints:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def broadcast_vjp(g: Any, ans: Any, x: Any, *, shape: Ints) -> Any:
    """Sum over the repeated dimensions."""
    lead = len(shape) - x.ndim
    axes = tuple(i for i, n in enumerate(shape) if i < lead or (x.shape[i - lead] == 1 and n != 1))
    return lang.reshape(lang.reduce_sum(g, axes), x.shape) if axes else g


def _kept(x: Any, widths: tuple[Ints, ...]) -> tuple[Ints, Ints, Ints]:
    """Where pad put the elements of x: starts, stops and steps."""
    starts = tuple(low for low, _, _ in widths)
    steps = tuple(gap + 1 for _, _, gap in widths)
    stops = tuple(
        low + n + max(n - 1, 0) * gap for n, (low, _, gap) in zip(x.shape, widths, strict=True)
    )
    return starts, stops, steps


def pad_vjp_x(g: Any, ans: Any, x: Any, value: Any, *, widths: tuple[Ints, ...]) -> Any:
    """The elements that came from x."""
    return lang.slice_(g, *_kept(x, widths))


def _total(x: Any) -> Any:
    return lang.reduce_sum(x, tuple(range(x.ndim)))


def pad_vjp_value(g: Any, ans: Any, x: Any, value: Any, *, widths: tuple[Ints, ...]) -> Any:
    """Sum of the elements that did not."""
    return lang.sub(_total(g), _total(lang.slice_(g, *_kept(x, widths))))


def slice_vjp(g: Any, ans: Any, x: Any, *, starts: Ints, stops: Ints, steps: Ints) -> Any:
    """g put back among zeros."""
    widths = tuple(
        (start, n - start - m - max(m - 1, 0) * (step - 1), step - 1) if m else (0, n, 0)
        for n, m, start, step in zip(x.shape, g.shape, starts, steps, strict=True)
    )
    return lang.pad(g, 0, widths)


def concatenate_vjp(position: int) -> Callable[..., Any]:
    """The part of g that came from the tensor at `position`."""

    def vjp(g: Any, ans: Any, *xs: Any, axis: int) -> Any:
        start = sum(x.shape[axis] for x in xs[:position])
        starts = tuple(start if i == axis else 0 for i in range(g.ndim))
        stops = tuple(
            start + xs[position].shape[axis] if i == axis else n for i, n in enumerate(g.shape)
        )
        return lang.slice_(g, starts, stops)

    return vjp


def dynamic_slice_vjp(g: Any, ans: Any, x: Any, starts: Any, *, sizes: Ints) -> Any:
    """g written among zeros."""
    return lang.dynamic_update_slice(lang.zeros(x.shape, g.dtype), g, starts)


def dynamic_update_vjp_x(g: Any, ans: Any, x: Any, update: Any, starts: Any) -> Any:
    """g with zeros where x was overwritten."""
    return lang.dynamic_update_slice(g, lang.zeros(update.shape, g.dtype), starts)


def dynamic_update_vjp_update(g: Any, ans: Any, x: Any, update: Any, starts: Any) -> Any:
    """The block of g that came from the update."""
    return lang.dynamic_slice(g, starts, update.shape)


lang.reshape_p.define(reshaping, (lambda g, ans, x, *, shape: lang.reshape(g, x.shape),))
lang.transpose_p.define(
    transposing, (lambda g, ans, x, *, axes: lang.transpose(g, _inverse(axes)),)
)
lang.broadcast_to_p.define(broadcasting_to, (broadcast_vjp,))
lang.pad_p.define(padding, (pad_vjp_x, pad_vjp_value))
lang.slice_p.define(slicing, (slice_vjp,))
lang.rev_p.define(reversing, (lambda g, ans, x, *, axes: lang.rev(g, axes),))
lang.concatenate_p.define(concatenating, concatenate_vjp)
lang.dynamic_slice_p.define(dynamic_slicing, (dynamic_slice_vjp, None))
lang.dynamic_update_slice_p.define(
    dynamic_updating, (dynamic_update_vjp_x, dynamic_update_vjp_update, None)
)
lang.full_p.define(filling, NO_GRADIENT)
lang.iota_p.define(counting, NO_GRADIENT)
