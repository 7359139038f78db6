"""Shapes, movement, joining, padding and resizing."""

from __future__ import annotations

from typing import Any

from kbackend import ops
from kbackend.base import config


def channels_last(data_format: str | None) -> bool:
    """Whether a data format, or the configured one for `None`, has the channels last."""
    chosen = data_format or config.image_data_format()
    if chosen not in ("channels_last", "channels_first"):
        raise ValueError(
            "'data_format' must be 'channels_last' or 'channels_first'. Received: "
            f"data_format={data_format!r}."
        )
    return chosen == "channels_last"


def int_shape(x: Any) -> tuple[int | None, ...] | None:
    """The shape as a tuple, with `None` for what is not known; `None` for what has no shape.

    >>> int_shape(ops.zeros((2, 3)))
    (2, 3)
    """
    shape = getattr(x, "shape", None)
    return None if shape is None else tuple(shape)


def ndim(x: Any) -> int:
    """Number of dimensions."""
    return len(x.shape)


def dtype(x: Any) -> str:
    """Name of the dtype."""
    return ops.dtype(x)


def is_sparse(tensor: Any) -> bool:
    """`False`: all tensors are dense."""
    return False


def to_dense(tensor: Any) -> Any:
    """The tensor itself: all tensors are dense."""
    return tensor


def flatten(x: Any) -> Any:
    """x as a vector."""
    return ops.reshape(x, (-1,))


def batch_flatten(x: Any) -> Any:
    """x with all dimensions but the first made one."""
    return ops.reshape(x, (-1, _product(x.shape[1:])))


def _product(sizes: Any) -> int:
    product = 1
    for size in sizes:
        if size is None:
            return -1
        product *= size
    return product


def permute_dimensions(x: Any, pattern: Any) -> Any:
    """Dimensions in another order.

    >>> permute_dimensions(ops.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    return ops.transpose(x, axes=tuple(pattern))


def transpose(x: Any) -> Any:
    """Dimensions in reverse order."""
    return ops.transpose(x)


def expand_dims(x: Any, axis: int = -1) -> Any:
    """x with a new dimension of size 1."""
    return ops.expand_dims(x, axis)


def squeeze(x: Any, axis: int) -> Any:
    """x without a dimension of size 1."""
    return ops.squeeze(x, axis)


def concatenate(tensors: Any, axis: int = -1) -> Any:
    """Tensors one after the other along an axis, the last one by default."""
    return ops.concatenate(tensors, axis=axis)


def repeat(x: Any, n: int) -> Any:
    """A matrix `(batch, features)` as `(batch, n, features)`."""
    if len(x.shape) != 2:
        raise ValueError(f"[repeat] 'x' must have 2 dimensions. Received: x.shape={x.shape}.")
    return ops.repeat(ops.expand_dims(x, 1), n, axis=1)


def repeat_elements(x: Any, rep: int, axis: int) -> Any:
    """Each element `rep` times, one after the other, along an axis."""
    return ops.repeat(x, rep, axis=axis)


def reverse(x: Any, axes: Any) -> Any:
    """x reversed along an axis or several."""
    return ops.flip(x, axis=axes)


def gather(reference: Any, indices: Any) -> Any:
    """Entries of the first dimension."""
    return ops.take(reference, indices, axis=0)


def one_hot(indices: Any, num_classes: int) -> Any:
    """Integers as vectors with a one in their place."""
    return ops.one_hot(indices, num_classes)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = "int32") -> Any:
    """Numbers from `start` up to `stop`, or from 0 up to `start`."""
    if stop is None:
        start, stop = 0, start
    return ops.arange(start, stop, step, dtype=dtype)


def _padded(x: Any, padding: Any, data_format: str | None) -> Any:
    pairs = [tuple(pair) for pair in padding]
    around = [(0, 0), *pairs, (0, 0)]
    return ops.pad(x, around if channels_last(data_format) else [(0, 0), (0, 0), *pairs])


def temporal_padding(x: Any, padding: tuple[int, int] = (1, 1)) -> Any:
    """Zeros before and after the middle dimension of `(batch, time, features)`."""
    return _padded(x, (padding,), "channels_last")


def spatial_2d_padding(
    x: Any, padding: Any = ((1, 1), (1, 1)), data_format: str | None = None
) -> Any:
    """Zeros around images."""
    return _padded(x, padding, data_format)


def spatial_3d_padding(
    x: Any, padding: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None
) -> Any:
    """Zeros around volumes."""
    return _padded(x, padding, data_format)


def _grown(x: Any, factors: tuple[int, ...], data_format: str | None) -> Any:
    first = 1 if channels_last(data_format) else 2
    for axis, factor in enumerate(factors, first):
        x = ops.repeat(x, factor, axis=axis)
    return x


def resize_images(
    x: Any,
    height_factor: int,
    width_factor: int,
    data_format: str | None,
    interpolation: str = "nearest",
) -> Any:
    """Images that are `height_factor` times as high and `width_factor` times as wide.

    >>> resize_images(ops.zeros((1, 2, 3, 1)), 2, 3, "channels_last").shape
    (1, 4, 9, 1)
    """
    if interpolation == "nearest":
        return _grown(x, (height_factor, width_factor), data_format)
    last = channels_last(data_format)
    height, width = x.shape[1:3] if last else x.shape[2:4]
    return ops.image.resize(
        x,
        (height * height_factor, width * width_factor),
        interpolation=interpolation,
        data_format="channels_last" if last else "channels_first",
    )


def resize_volumes(
    x: Any, depth_factor: int, height_factor: int, width_factor: int, data_format: str | None
) -> Any:
    """Volumes grown by whole factors, each element repeated."""
    return _grown(x, (depth_factor, height_factor, width_factor), data_format)
