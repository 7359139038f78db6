"""Arguments that the ops of this package share: floating inputs, axes, windows, data formats."""

from __future__ import annotations

from operator import index
from typing import Any

from kbackend.base import config, shapes
from kbackend.base.dtypes import INEXACT_SET, to_float
from kbackend.core import lang
from kbackend.core.convert import to_tensor

LOW_PRECISION = frozenset(("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"))


def floating(x: Any) -> Any:
    """`x` as a tensor, integers and bools as floats."""
    x = to_tensor(x)
    return x if x.dtype in INEXACT_SET else lang.cast(x, to_float(x.dtype))


def numeric(x: Any) -> Any:
    """`x` as a tensor, bools as int32."""
    x = to_tensor(x)
    return lang.cast(x, "int32") if x.dtype == "bool" else x


def axes_of(axis: Any, x: Any) -> tuple[int, ...]:
    """Non-negative, sorted axes of `x`; `None` means all."""
    if axis == -1 and axis.__class__ is int and x.shape:
        return (len(x.shape) - 1,)
    return shapes.canonical_axes(axis, len(x.shape))


def count_of(x: Any, axes: tuple[int, ...]) -> Any:
    """Number of elements of `x` along `axes`: an int, or a tensor where a dimension is unknown."""
    count = shapes.size_of([x.shape[a] for a in axes])
    if count is not None:
        return count
    ones = lang.full(x.shape, 1, x.dtype)
    return lang.reduce_sum(ones, axes, True)


def mean_of(x: Any, axes: tuple[int, ...]) -> Any:
    """Mean over `axes`, which stay with size 1."""
    return lang.div(lang.reduce_sum(x, axes, True), count_of(x, axes))


def per_dimension(value: Any, count: int, name: str, op: str, least: int = 1) -> tuple[int, ...]:
    """`value`, an int or one per spatial dimension, as a tuple of `count` ints."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * count
    try:
        found = tuple(index(v) for v in values)
    except TypeError:
        found = ()
    if len(found) != count or any(v < least for v in found):
        raise ValueError(
            f"[{op}] '{name}' must be an integer of at least {least}, or {count} of them, one per "
            f"spatial dimension. Received: {name}={value!r}."
        )
    return found


def channels_first(data_format: Any, op: str) -> bool:
    """Whether `data_format` (the configured one if `None`) puts channels before space."""
    if data_format is None:
        data_format = config.image_data_format()
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            f"[{op}] 'data_format' must be 'channels_last' or 'channels_first'. "
            f"Received: data_format={data_format!r}."
        )
    return bool(data_format == "channels_first")


def to_last(x: Any) -> Any:
    """`(batch, channels, *space)` as `(batch, *space, channels)`."""
    n = len(x.shape)
    return lang.transpose(x, (0, *range(2, n), 1))


def to_first(x: Any) -> Any:
    """`(batch, *space, channels)` as `(batch, channels, *space)`."""
    n = len(x.shape)
    return lang.transpose(x, (0, n - 1, *range(1, n - 1)))


def padding_name(padding: Any, op: str, allowed: tuple[str, ...] = ("valid", "same")) -> str:
    """The kind of padding in lower case."""
    name = padding.lower() if isinstance(padding, str) else padding
    if name not in allowed:
        raise ValueError(
            f"[{op}] 'padding' must be one of {', '.join(map(repr, allowed))}. "
            f"Received: padding={padding!r}."
        )
    return str(name)
