"""Integers as vectors, and magnitude and angle as complex numbers."""

from __future__ import annotations

from typing import Any

from kbackend.base import config, shapes
from kbackend.base.dtypes import standardize_dtype
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.core.operators import promote
from kbackend.ops.define import op


def _check_dense(sparse: bool, name: str) -> None:
    if sparse:
        raise ValueError(f"[{name}] only dense tensors are supported. Received: sparse=True.")


def _one_hot(x: Any, num_classes: int, axis: int, dtype: Any, name: str) -> Any:
    x = to_tensor(x)
    if x.dtype.startswith(("float", "bfloat", "complex")):
        x = lang.cast(x, "int32")
    elif x.dtype != "int32":
        x = lang.cast(x, "int64" if x.dtype in ("int64", "uint32", "uint64") else "int32")
    if num_classes is None or num_classes < 0:
        raise ValueError(
            f"[{name}] 'num_classes' must be a non-negative integer. "
            f"Received: num_classes={num_classes}."
        )
    ndim = len(x.shape) + 1
    at = shapes.canonical_axis(axis, ndim)
    classes = lang.iota((1,) * at + (num_classes,) + (1,) * (ndim - at - 1), at, x.dtype)
    shape = tuple(x.shape)
    hot = lang.eq(lang.reshape(x, (*shape[:at], 1, *shape[at:])), classes)
    return lang.cast(hot, config.floatx() if dtype is None else standardize_dtype(dtype))


@op(static=("num_classes",))
def one_hot(
    x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> Any:
    """Vectors that are 1 at the position `x` and 0 elsewhere.

    Args:
        x: integer tensor; values outside `[0, num_classes)` give all zeros.
        num_classes: length of the vectors.
        axis: where the new dimension goes.
        dtype: dtype of the result, `floatx` by default.
        sparse: must be false.

    Returns:
        A tensor with one more dimension.

    Example:
        >>> one_hot([0, 2], 3).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    _check_dense(sparse, "one_hot")
    return _one_hot(x, num_classes, axis, dtype, "one_hot")


@op(static=("num_classes",))
def multi_hot(
    inputs: Any,
    num_classes: int | None = None,
    axis: int = -1,
    dtype: Any = None,
    sparse: bool = False,
    **kwargs: Any,
) -> Any:
    """Vectors that are 1 at each of the positions in a row of `inputs` and 0 elsewhere.

    Args:
        inputs: integer tensor `(batch, positions)`, or a vector of positions.
        num_classes: length of the vectors.
        axis: where the new dimension goes.
        dtype: dtype of the result, `floatx` by default.
        sparse: must be false.
        **kwargs: `num_tokens`, the older name of `num_classes`.

    Returns:
        A tensor of the number of dimensions of `inputs`.

    Raises:
        ValueError: an argument is unknown, or `num_classes` is missing.

    Example:
        >>> multi_hot([[0, 2], [1, 1]], 3).tolist()
        [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    if num_classes is None and "num_tokens" in kwargs:
        num_classes = kwargs.pop("num_tokens")
    if num_classes is None or kwargs:
        raise ValueError(
            "[multi_hot] takes 'num_classes', and no unknown arguments. "
            f"Received: num_classes={num_classes}, {kwargs}."
        )
    _check_dense(sparse, "multi_hot")
    hot = _one_hot(inputs, num_classes, axis, dtype, "multi_hot")
    return lang.reduce_max(hot, (1 if len(hot.shape) > 2 else 0,))


@op(tensors=("angle",))
def polar(abs_: Any, angle: Any) -> Any:
    """Complex numbers of given magnitude and angle.

    Args:
        abs_: floating tensor of magnitudes.
        angle: floating tensor of angles in radians.

    Returns:
        A complex tensor.

    Example:
        >>> polar([2.0], [0.0]).tolist()
        [(2+0j)]
    """
    r, phi = promote(abs_, angle, force_float=True)
    if r.dtype not in ("float32", "float64"):
        r, phi = lang.cast(r, "float32"), lang.cast(phi, "float32")
    return lang.complex_(lang.mul(r, lang.cos(phi)), lang.mul(r, lang.sin(phi)))
