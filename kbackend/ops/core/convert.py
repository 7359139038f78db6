"""Conversion: tensors from and to other things, dtypes, gradients stopped or replaced."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from kbackend import autodiff
from kbackend.base import dtypes
from kbackend.base.dtypes import FLOAT_SET, INT_SET, NUMPY_DTYPES, standardize_dtype
from kbackend.core import lang
from kbackend.core.bind import Symbolic
from kbackend.core.convert import Readable, to_tensor
from kbackend.core.tensor import Tensor
from kbackend.ops.define import op
from kbackend.ops.keras_tensor import KerasTensor


@op()
def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    """`x` as a tensor on the current engine.

    Args:
        x: tensor, variable, NumPy array, another framework's tensor, nested list or number.
        dtype: dtype to convert to. By default arrays keep theirs, and Python ints and floats
            become int32 and `floatx`.
        sparse: must not be true: tensors are dense.
        ragged: must not be true.

    Returns:
        A tensor.

    Raises:
        ValueError: `sparse` or `ragged` is true, or `x` can't be a tensor.

    Example:
        >>> convert_to_tensor([1, 2]).dtype
        'int32'
    """
    if sparse or ragged:
        raise ValueError(
            "[convert_to_tensor] only dense tensors are supported. "
            f"Received: sparse={sparse}, ragged={ragged}."
        )
    return to_tensor(x, dtype)


def convert_to_numpy(x: Any) -> np.ndarray[Any, Any]:
    """The values of `x` as a NumPy array that the caller may change.

    Args:
        x: tensor-like.

    Returns:
        A NumPy array.

    Example:
        >>> convert_to_numpy(convert_to_tensor([1, 2])).sum().item()
        3
    """
    if isinstance(x, Readable):
        x = x.read()
    return x.numpy() if x.__class__ is Tensor else np.array(x)


@op(static=("dtype",))
def cast(x: Any, dtype: Any) -> Any:
    """`x` in another dtype. Floats become integers by truncation.

    Args:
        x: tensor-like.
        dtype: dtype to convert to.

    Returns:
        A tensor of the shape of `x`.

    Example:
        >>> cast([1.7, -1.7], "int32").tolist()
        [1, -1]
    """
    return to_tensor(x, standardize_dtype(dtype))


@op(static=("dtype",))
def saturate_cast(x: Any, dtype: Any) -> Any:
    """`x` in another dtype, values out of its range becoming its nearest value.

    Args:
        x: numeric tensor.
        dtype: dtype to convert to.

    Returns:
        A tensor of the shape of `x`; NaN becomes 0 in integers.

    Example:
        >>> saturate_cast([-20, 300], "uint8").tolist()
        [0, 255]
    """
    x, dtype = to_tensor(x), standardize_dtype(dtype)
    if x.dtype == dtype or "bool" in (x.dtype, dtype):
        return lang.cast(x, dtype)
    low, high = _limits(dtype)
    if dtype in INT_SET and x.dtype in FLOAT_SET:
        x = lang.select(lang.eq(x, x), x, 0.0)
        x = lang.cast(x, dtypes.result_type(x.dtype, "float32"))
        # The greatest integers are no floats: the next float below must do.
        host = NUMPY_DTYPES[x.dtype].type
        while int(host(high)) > _limits(dtype)[1]:
            high = int(np.nextafter(host(high), host(0)))
        greatest = _limits(dtype)[1]
        clipped = lang.cast(lang.maximum(lang.minimum(x, float(high)), float(low)), dtype)
        return lang.select(lang.lt(float(high), x), greatest, clipped)
    own_low, own_high = _limits(x.dtype)
    if low > own_low:
        x = lang.maximum(x, type(own_low)(low))
    if high < own_high:
        x = lang.minimum(x, type(own_high)(high))
    return lang.cast(x, dtype)


def _limits(dtype: str) -> tuple[Any, Any]:
    """Least and greatest finite value."""
    if dtype in INT_SET:
        info = np.iinfo(dtype)
        return int(info.min), int(info.max)
    if dtype == "bfloat16" or dtype.startswith("float8"):
        found = ml_dtypes.finfo(dtype)
        return float(found.min), float(found.max)
    return float(np.finfo(dtype).min), float(np.finfo(dtype).max)


def shape(x: Any) -> tuple[int | None, ...]:
    """The dimensions of `x`.

    Args:
        x: tensor-like.

    Returns:
        A tuple of ints, with `None` for the unknown dimensions of a KerasTensor.

    Example:
        >>> shape([[1, 2, 3]])
        (1, 3)
    """
    found = getattr(x, "shape", None)
    return tuple(to_tensor(x).shape if found is None else found)


def dtype(x: Any) -> str:
    """The name of the dtype of `x`.

    Args:
        x: tensor-like.

    Returns:
        A string such as `"float32"`.

    Example:
        >>> dtype([1.0])
        'float32'
    """
    found = getattr(x, "dtype", None)
    return to_tensor(x).dtype if found is None else standardize_dtype(found)


def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor with values (not a NumPy array, nor a KerasTensor).

    Args:
        x: anything.

    Returns:
        A bool.

    Example:
        >>> is_tensor(convert_to_tensor(1)), is_tensor(np.ones(2))
        (True, False)
    """
    return x.__class__ is Tensor or (isinstance(x, Symbolic) and not isinstance(x, KerasTensor))


@op()
def stop_gradient(variable: Any) -> Any:
    """`variable` as a constant: no gradient flows back through the result.

    Args:
        variable: tensor, variable or nested structure of them.

    Returns:
        The same values.

    Example:
        >>> stop_gradient([1.0, 2.0]).tolist()
        [1.0, 2.0]
    """
    if isinstance(variable, list):
        variable = to_tensor(variable)
    return autodiff.stop_gradient(variable)


def custom_gradient(f: Any) -> Any:
    """Decorator for a function that returns its result and its own gradient function.

    Args:
        f: `(*args) -> (result, grad_fn)`. `grad_fn` takes one cotangent per result, positionally
            or as `upstream=`, and returns one cotangent per tensor argument.

    Returns:
        A function that returns the result alone.

    Raises:
        ValueError: `grad_fn` returns a wrong number of gradients.

    Example:
        >>> square = custom_gradient(lambda x: (x * x, lambda upstream: upstream * 2.0))
        >>> square(3.0).item()
        9.0
    """
    return autodiff.custom_gradient(f)
