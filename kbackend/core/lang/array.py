"""Reductions, movement, creation and indexing: primitives and binders."""

from __future__ import annotations

from typing import Any

from kbackend.base.shapes import Shape
from kbackend.core.bind import bind, bind_abstract
from kbackend.core.lang.constants import lift
from kbackend.core.primitive import family

Ints = tuple[int, ...]

# ----- reductions -----


reduce_sum_p, reduce_prod_p, reduce_max_p, reduce_min_p, argmax_p, argmin_p = family(
    "reduce", "reduce_sum", "reduce_prod", "reduce_max", "reduce_min", "argmax", "argmin"
)


def reduce_sum(x: Any, axes: Ints, keepdims: bool = False) -> Any:
    """Sum over `axes` in x's dtype (float16 and bfloat16 accumulate in float32)."""
    return bind(reduce_sum_p, x, axes=axes, keepdims=keepdims)


def reduce_prod(x: Any, axes: Ints, keepdims: bool = False) -> Any:
    """Product over `axes`."""
    return bind(reduce_prod_p, x, axes=axes, keepdims=keepdims)


def reduce_max(x: Any, axes: Ints, keepdims: bool = False) -> Any:
    """Greatest element over `axes`; NaN if there is one; any() for bool."""
    return bind(reduce_max_p, x, axes=axes, keepdims=keepdims)


def reduce_min(x: Any, axes: Ints, keepdims: bool = False) -> Any:
    """Least element over `axes`; NaN if there is one; all() for bool."""
    return bind(reduce_min_p, x, axes=axes, keepdims=keepdims)


def argmax(x: Any, axis: int) -> Any:
    """int32 position of the first greatest element along `axis`, which is removed."""
    return bind(argmax_p, x, axis=axis)


def argmin(x: Any, axis: int) -> Any:
    """int32 position of the first least element along `axis`, which is removed."""
    return bind(argmin_p, x, axis=axis)


# ----- movement -----

(
    reshape_p, transpose_p, broadcast_to_p, pad_p, slice_p, rev_p, concatenate_p,
    dynamic_slice_p, dynamic_update_slice_p,
) = family(
    "movement", "reshape", "transpose", "broadcast_to", "pad", "slice", "rev", "concatenate",
    "dynamic_slice", "dynamic_update_slice",
)  # fmt: skip


def reshape(x: Any, shape: Shape) -> Any:
    """The elements in row-major order in another shape; one dimension may be -1."""
    return bind(reshape_p, x, shape=shape)


def transpose(x: Any, axes: Ints) -> Any:
    """Dimensions in the order `axes`."""
    return bind(transpose_p, x, axes=axes)


def broadcast_to(x: Any, shape: Shape) -> Any:
    """x repeated along new leading dimensions and dimensions of size 1."""
    return bind(broadcast_to_p, x, shape=shape)


def pad(x: Any, value: Any, widths: tuple[tuple[int, int, int], ...]) -> Any:
    """x with `(low, high, interior)` copies of the scalar tensor `value` per dimension.

    `interior` of them stand between neighbours. Widths are not negative.
    """
    return bind(pad_p, x, lift(value, x), widths=widths)


def slice_(x: Any, starts: Ints, stops: Ints, steps: Ints | None = None) -> Any:
    """Elements from `starts` up to `stops` by positive `steps`, per dimension, within bounds."""
    return bind(slice_p, x, starts=starts, stops=stops, steps=steps or (1,) * len(starts))


def rev(x: Any, axes: Ints) -> Any:
    """x reversed along `axes`."""
    return bind(rev_p, x, axes=axes)


def concatenate(xs: Any, axis: int) -> Any:
    """Tensors one after the other along `axis`."""
    return bind(concatenate_p, *xs, axis=axis)


def dynamic_slice(x: Any, starts: Any, sizes: Ints) -> Any:
    """Block of `sizes` at the position `starts` (int32), moved inside x if it sticks out."""
    return bind(dynamic_slice_p, x, starts, sizes=sizes)


def dynamic_update_slice(x: Any, update: Any, starts: Any) -> Any:
    """x with `update` written at the position in `starts` (moved inside as in `dynamic_slice`)."""
    return bind(dynamic_update_slice_p, x, update, starts)


# ----- creation -----

full_p, iota_p = family("create", "full", "iota")


def full(shape: Shape, value: Any, dtype: str) -> Any:
    """A tensor of one Python scalar."""
    if None in shape:
        return bind_abstract(full_p, {"shape": shape, "value": value, "dtype": dtype})
    return bind(full_p, shape=shape, value=value, dtype=dtype)


def zeros(shape: Shape, dtype: str) -> Any:
    """A tensor of zeros."""
    return full(shape, 0, dtype)


def iota(shape: Shape, axis: int, dtype: str) -> Any:
    """Each element's position along `axis`."""
    if None in shape:
        return bind_abstract(iota_p, {"shape": shape, "axis": axis, "dtype": dtype})
    return bind(iota_p, shape=shape, axis=axis, dtype=dtype)


# ----- indexing -----

gather_p, scatter_p = family("index", "gather", "scatter")


def gather(x: Any, indices: Any, axes: Ints) -> Any:
    """x indexed along `axes` by one integer tensor per axis.

    The index tensors broadcast together to a shape S. The result has the shape S followed by x's
    dimensions other than `axes`. Negative indices count from the end.
    """
    return bind(gather_p, x, *indices, axes=axes)


def scatter(x: Any, updates: Any, indices: Any, axes: Ints, mode: str) -> Any:
    """x with `updates` (shaped like `gather(x, indices, axes)`) combined into the indexed places.

    `mode` is "add", "mul", "max", "min" (repeated places accumulate) or "set" (the last one wins).
    """
    return bind(scatter_p, x, updates, *indices, axes=axes, mode=mode)
