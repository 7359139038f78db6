"""What the families of this package share: axes, counts, casts."""

from __future__ import annotations

from operator import index
from typing import Any

from kbackend.base import shapes
from kbackend.base.dtypes import INEXACT_SET, to_float
from kbackend.core import lang
from kbackend.core.bind import Symbolic
from kbackend.core.convert import to_tensor
from kbackend.core.tensor import Tensor

Ints = tuple[int, ...]

# Sums over these are done in float32, which is what the mean or variance is rounded from once.
LOW_PRECISION = frozenset(("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"))


def floating(x: Any) -> Any:
    """`x` as a floating (or complex) tensor: integers become the float they promote to."""
    x = to_tensor(x)
    return x if x.dtype in INEXACT_SET else lang.cast(x, to_float(x.dtype))


def numeric(x: Any) -> Any:
    """`x` as a tensor, bool as int32."""
    x = to_tensor(x)
    return lang.cast(x, "int32") if x.dtype == "bool" else x


def truth(x: Any) -> Any:
    """`x` as a bool tensor: whether each element differs from zero."""
    return lang.cast(to_tensor(x), "bool")


def negate(x: Any) -> Any:
    """not x, of a bool tensor."""
    return lang.bitwise_xor(x, True)


def axes_of(axis: Any, ndim: int) -> Ints:
    """Sorted non-negative axes; `None` means all of them."""
    if axis is None:
        return tuple(range(ndim))
    if axis.__class__ is int and -ndim <= axis < ndim:
        return (axis % ndim,)
    return shapes.canonical_axes(axis, ndim)


def axis_of(axis: Any, ndim: int) -> int:
    """One axis counted from the front."""
    if axis.__class__ is int and -ndim <= axis < ndim:
        return int(axis % ndim)
    return shapes.canonical_axis(axis, ndim)


def count(x: Any, axes: Ints) -> int:
    """Number of elements along `axes`.

    Unknown dimensions count as one: they occur only where shapes are inferred, and there no value
    matters.
    """
    total = 1
    for axis in axes:
        total *= x.shape[axis] if x.shape[axis] is not None else 1
    return total


def is_symbolic(*xs: Any) -> bool:
    """Whether one of the values has no data."""
    return any(isinstance(x, Symbolic) for x in xs)


def flat(x: Any) -> Any:
    """`x` with one dimension."""
    return x if len(x.shape) == 1 else lang.reshape(x, (-1,))


def part(x: Any, axis: int, start: int, stop: int | None, step: int = 1) -> Any:
    """Elements `start:stop:step` along `axis`; `stop` is `None` for the end."""
    shape = x.shape
    starts = tuple([start if i == axis else 0 for i in range(len(shape))])
    end = shape[axis] if stop is None else stop
    stops = tuple([end if i == axis else n for i, n in enumerate(shape)])
    steps = tuple([step if i == axis else 1 for i in range(len(shape))])
    return lang.slice_(x, starts, stops, steps)


def move_axis(x: Any, source: int, destination: int) -> Any:
    """`x` with one dimension moved; both places count from the front."""
    if source == destination:
        return x
    order = [i for i in range(len(x.shape)) if i != source]
    order.insert(destination, source)
    return lang.transpose(x, tuple(order))


def insert_axis(x: Any, axis: int) -> Any:
    """`x` with a dimension of size 1 at `axis`, counted from the front."""
    shape = tuple(x.shape)
    return lang.reshape(x, (*shape[:axis], 1, *shape[axis:]))


def drop_axis(x: Any, axis: int) -> Any:
    """`x` without the dimension `axis`, whose size is 1."""
    shape = tuple(x.shape)
    return lang.reshape(x, shape[:axis] + shape[axis + 1 :])


def host_ints(value: Any) -> Any:
    """Integers given as a tensor, an array or a nested list, as Python numbers."""
    if value.__class__ is int or value is None:
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [host_ints(v) for v in value]
    return index(value)


def dims_of(shape: Any) -> tuple[int | None, ...]:
    """A shape given as an int, a tensor or a sequence, as a tuple. -1 and `None` stay."""
    if shape.__class__ is tuple and all(d.__class__ is int for d in shape):
        return shape  # type: ignore[no-any-return]
    if isinstance(shape, Tensor) or hasattr(shape, "tolist"):
        shape = shape.tolist()
    if not isinstance(shape, (list, tuple)):
        shape = (shape,)
    try:
        return tuple(None if d is None else index(d) for d in shape)
    except TypeError:
        raise ValueError(f"A shape is made of integers. Received: shape={tuple(shape)}.") from None


def wide_product(x: Any, y: Any, terms: int | None, product: Any) -> Any:
    """`product` of two int8 tensors as int32, by way of floats that hold each sum exactly."""
    exact = terms is not None and terms <= 1024
    work = "float32" if exact else "float64"
    return lang.cast(product(lang.cast(x, work), lang.cast(y, work)), "int32")
