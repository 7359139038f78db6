"""NumPy-like arithmetic with Keras's dtype promotion: what Tensor's operators and `ops` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kbackend.base import dtypes, shapes
from kbackend.base.dtypes import INEXACT_SET, result_type
from kbackend.core import lang
from kbackend.core.convert import Readable, to_tensor
from kbackend.core.tensor import Tensor

_WEAK = frozenset((bool, int, float, complex))


def promote(x: Any, y: Any, force_float: bool = False) -> tuple[Any, Any]:
    """Two values as tensors of their common dtype. Python scalars are weak.

    Args:
        x: tensor-like.
        y: tensor-like.
        force_float: whether integers become the float that they promote to.
    """
    cx, cy = x.__class__, y.__class__
    # The usual cases first: two tensors of one dtype, or a tensor and a scalar that fits it.
    if cx is Tensor:
        if cy is Tensor:
            if x.dtype == y.dtype and (not force_float or x.dtype in INEXACT_SET):
                return x, y
        elif cy in _WEAK:
            return _with_scalar(x, y, force_float)
    elif cy is Tensor and cx in _WEAK:
        y, x = _with_scalar(y, x, force_float)
        return x, y
    tx = x if cx in _WEAK else to_tensor(x)
    ty = y if cy in _WEAK else to_tensor(y)
    if cx in _WEAK and cy in _WEAK:
        tx = to_tensor(tx)
    dtype = result_type(
        cx if tx.__class__ in _WEAK else tx.dtype, cy if ty.__class__ in _WEAK else ty.dtype
    )
    if force_float:
        dtype = dtypes.to_float(dtype)
    if tx.__class__ in _WEAK:
        return lang.lift_as(tx, ty, dtype), lang.cast(ty, dtype)
    if ty.__class__ in _WEAK:
        return lang.cast(tx, dtype), lang.lift_as(ty, tx, dtype)
    return lang.cast(tx, dtype), lang.cast(ty, dtype)


def _with_scalar(x: Any, scalar: Any, force_float: bool) -> tuple[Any, Any]:
    """A tensor and a Python scalar, both in the dtype they promote to."""
    dtype = result_type(x.dtype, scalar.__class__)
    if force_float:
        dtype = dtypes.to_float(dtype)
    return lang.cast(x, dtype), lang.lift_as(scalar, x, dtype)


def _bool_to_int(x: Any, y: Any) -> tuple[Any, Any]:
    if x.dtype == "bool":
        return lang.cast(x, "int32"), lang.cast(y, "int32")
    return x, y


def add(x1: Any, x2: Any) -> Any:
    """x1 + x2"""
    return lang.add(*promote(x1, x2))


def subtract(x1: Any, x2: Any) -> Any:
    """x1 - x2"""
    return lang.sub(*_bool_to_int(*promote(x1, x2)))


def multiply(x1: Any, x2: Any) -> Any:
    """x1 * x2"""
    return lang.mul(*promote(x1, x2))


def divide(x1: Any, x2: Any) -> Any:
    """x1 / x2, always floating"""
    return lang.div(*promote(x1, x2, force_float=True))


def floor_divide(x1: Any, x2: Any) -> Any:
    """Greatest integer not above x1 / x2"""
    return lang.floor_divide(*_bool_to_int(*promote(x1, x2)))


def mod(x1: Any, x2: Any) -> Any:
    """Remainder with the sign of x2"""
    return lang.mod(*_bool_to_int(*promote(x1, x2)))


def power(x1: Any, x2: Any) -> Any:
    """x1 to the power x2"""
    # x ** 2 is everywhere, and one product is cheaper and exact.
    if x2.__class__ is int and x2 == 2:
        x = to_tensor(x1)
        if x.dtype != "bool":
            return lang.mul(x, x)
    return lang.pow_(*_bool_to_int(*promote(x1, x2)))


def equal(x1: Any, x2: Any) -> Any:
    """bool: x1 == x2"""
    return lang.eq(*promote(x1, x2))


def not_equal(x1: Any, x2: Any) -> Any:
    """bool: x1 != x2"""
    return lang.ne(*promote(x1, x2))


def less(x1: Any, x2: Any) -> Any:
    """bool: x1 < x2"""
    return lang.lt(*promote(x1, x2))


def less_equal(x1: Any, x2: Any) -> Any:
    """bool: x1 <= x2"""
    return lang.le(*promote(x1, x2))


def greater(x1: Any, x2: Any) -> Any:
    """bool: x1 > x2"""
    x, y = promote(x1, x2)
    return lang.lt(y, x)


def greater_equal(x1: Any, x2: Any) -> Any:
    """bool: x1 >= x2"""
    x, y = promote(x1, x2)
    return lang.le(y, x)


def negative(x: Any) -> Any:
    """-x"""
    return lang.neg(to_tensor(x))


def absolute(x: Any) -> Any:
    """|x|"""
    x = to_tensor(x)
    return x if x.dtype == "bool" else lang.abs_(x)


def bitwise_and(x: Any, y: Any) -> Any:
    """x & y"""
    return lang.bitwise_and(*promote(x, y))


def bitwise_or(x: Any, y: Any) -> Any:
    """x | y"""
    return lang.bitwise_or(*promote(x, y))


def bitwise_xor(x: Any, y: Any) -> Any:
    """x ^ y"""
    return lang.bitwise_xor(*promote(x, y))


def left_shift(x: Any, y: Any) -> Any:
    """x << y"""
    return lang.shift_left(*_bool_to_int(*promote(x, y)))


def right_shift(x: Any, y: Any) -> Any:
    """x >> y"""
    return lang.shift_right(*_bool_to_int(*promote(x, y)))


def round_(x: Any, ndigits: int | None = None) -> Any:
    """x rounded to a number of decimals, halves to even"""
    x = to_tensor(x)
    if x.dtype not in INEXACT_SET and (ndigits or 0) >= 0:
        return lang.cast(x, "int32") if x.dtype == "bool" else x
    if not ndigits:
        return lang.round_(x)
    scale = 10.0 ** abs(ndigits)
    if ndigits > 0:
        rounded = lang.div(lang.round_(lang.mul(x, scale)), scale)
        return lang.select(lang.isfinite(rounded), rounded, x)
    wide = x if x.dtype in INEXACT_SET else lang.cast(x, "float64")
    return lang.cast(lang.mul(lang.round_(lang.div(wide, scale)), scale), x.dtype)


def divmod_(x1: Any, x2: Any) -> tuple[Any, Any]:
    """(x1 // x2, x1 % x2)"""
    return floor_divide(x1, x2), mod(x1, x2)


def invert(x: Any) -> Any:
    """~x"""
    x = to_tensor(x)
    return lang.bitwise_xor(x, True) if x.dtype == "bool" else lang.bitwise_xor(x, -1)


def matmul(x1: Any, x2: Any) -> Any:
    """Matrix product of the last two dimensions; the leading ones broadcast."""
    x, y = promote(x1, x2)
    nx, ny = len(x.shape), len(y.shape)
    if nx == 0 or ny == 0:
        raise ValueError(
            "matmul() takes tensors with at least one dimension. Received shapes: "
            f"{tuple(x.shape)} and {tuple(y.shape)}."
        )
    if ny <= 2:
        # A vector or a matrix on the right meets any number of dimensions on the left.
        return lang.dot(x, y, ((nx - 1,), (max(ny - 2, 0),)))
    if nx == 1:
        return lang.dot(x, y, ((0,), (ny - 2,)))
    x, y = _broadcast_batch(x, y)
    n = len(x.shape)
    batch = tuple(range(n - 2))
    return lang.dot(x, y, ((n - 1,), (n - 2,)), (batch, batch))


def _broadcast_batch(x: Any, y: Any) -> tuple[Any, Any]:
    """x and y with the same leading (batch) dimensions."""
    batch = shapes.broadcast(tuple(x.shape[:-2]), tuple(y.shape[:-2]))
    x_shape, y_shape = (*batch, *x.shape[-2:]), (*batch, *y.shape[-2:])
    if tuple(x.shape) != x_shape:
        x = lang.broadcast_to(x, x_shape)
    if tuple(y.shape) != y_shape:
        y = lang.broadcast_to(y, y_shape)
    return x, y


def _reflected(fn: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda self, other: fn(other, self)


def _is_data(value: Any) -> bool:
    """Whether `value` can become a tensor."""
    return isinstance(value, (list, tuple, Readable)) or hasattr(value, "__array__")


def _comparison(fn: Callable[[Any, Any], Any], fallback: Any) -> Callable[[Any, Any], Any]:
    """`x == None` and the like are answered without conversion."""

    def compare(self: Any, other: Any) -> Any:
        if other is None or other.__class__ is str:
            return fallback
        if other.__class__ is Tensor or other.__class__ in _WEAK or _is_data(other):
            return fn(self, other)
        return NotImplemented  # Python then compares the objects themselves

    return compare


OPERATORS: dict[str, Callable[..., Any]] = {
    "__add__": add, "__sub__": subtract, "__mul__": multiply, "__truediv__": divide,
    "__floordiv__": floor_divide, "__mod__": mod, "__pow__": power, "__matmul__": matmul,
    "__and__": bitwise_and, "__or__": bitwise_or, "__xor__": bitwise_xor,
    "__lshift__": left_shift, "__rshift__": right_shift,
    "__lt__": less, "__le__": less_equal, "__gt__": greater, "__ge__": greater_equal,
    "__neg__": negative, "__abs__": absolute, "__invert__": invert,
    "__pos__": to_tensor, "__round__": round_, "__divmod__": divmod_,
}  # fmt: skip
REFLECTED = {
    f"__r{name[2:]}": _reflected(OPERATORS[name])
    for name in OPERATORS
    if name in (
        "__add__", "__sub__", "__mul__", "__truediv__", "__floordiv__", "__mod__", "__pow__",
        "__matmul__", "__and__", "__or__", "__xor__", "__lshift__", "__rshift__", "__divmod__",
    )
}  # fmt: skip
EQUALITY = {"__eq__": _comparison(equal, False), "__ne__": _comparison(not_equal, True)}


def attach(cls: type, table: dict[str, Callable[..., Any]]) -> None:
    """Gives `cls` the operators in `table`."""
    for name, fn in table.items():
        setattr(cls, name, fn)


# What NumPy calls for `ndarray + Tensor` and the like: the answer is a tensor.
_UFUNCS = {
    np.add: add, np.subtract: subtract, np.multiply: multiply, np.true_divide: divide,
    np.floor_divide: floor_divide, np.remainder: mod, np.power: power, np.matmul: matmul,
    np.left_shift: left_shift, np.right_shift: right_shift, np.divmod: divmod_,
    np.bitwise_and: bitwise_and, np.bitwise_or: bitwise_or, np.bitwise_xor: bitwise_xor,
    np.equal: equal, np.not_equal: not_equal, np.less: less, np.less_equal: less_equal,
    np.greater: greater, np.greater_equal: greater_equal,
}  # fmt: skip


def array_ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """NumPy's protocol: operators give tensors; all other ufuncs compute on the host values."""
    fn = _UFUNCS.get(ufunc)
    if fn is not None and method == "__call__" and not kwargs:
        return fn(*inputs)
    hosts = [np.asarray(x) if hasattr(x, "read") or x.__class__ is Tensor else x for x in inputs]
    return getattr(ufunc, method)(*hosts, **kwargs)


attach(Tensor, OPERATORS | REFLECTED | EQUALITY | {"__array_ufunc__": array_ufunc})
