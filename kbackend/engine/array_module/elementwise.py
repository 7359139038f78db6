"""Elementwise kernels. Nearly all are the array module's own ufuncs."""

from __future__ import annotations

from typing import Any

from kbackend.base import dtypes
from kbackend.engine.interface import Kernel

# primitive -> ufunc of the same meaning for every dtype that the shape rule lets through
UFUNCS = {
    "neg": "negative", "abs": "absolute", "exp": "exp", "expm1": "expm1", "log": "log",
    "log1p": "log1p", "sqrt": "sqrt", "sin": "sin", "cos": "cos", "tanh": "tanh",
    "floor": "floor", "ceil": "ceil", "round": "rint", "isfinite": "isfinite",
    "add": "add", "mul": "multiply", "div": "true_divide",
    "pow": "power", "atan2": "arctan2", "mod": "remainder", "floor_divide": "floor_divide",
    "maximum": "maximum", "minimum": "minimum",
    "bitwise_and": "bitwise_and", "bitwise_or": "bitwise_or", "bitwise_xor": "bitwise_xor",
    "shift_left": "left_shift", "shift_right": "right_shift",
    "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal",
    "sub": "subtract", "sign": "sign",
}  # fmt: skip


def kernels(xp: Any) -> dict[str, Kernel]:
    """Elementwise kernels over the array module `xp`."""

    def rsqrt(x: Any) -> Any:
        return xp.reciprocal(xp.sqrt(x))

    def sigmoid(x: Any) -> Any:
        # exp(-x) may overflow to infinity, which gives the right answer 0.
        return xp.reciprocal(1 + xp.exp(-x))

    def select(condition: Any, x: Any, y: Any) -> Any:
        return xp.where(condition, x, y)

    def cast(x: Any, *, dtype: str) -> Any:
        if x.dtype.kind == "c" and dtype not in dtypes.COMPLEX_SET and dtype != "bool":
            x = x.real
        return x.astype(dtypes.numpy_dtype(dtype))

    def bitcast(x: Any, *, dtype: str) -> Any:
        return xp.ascontiguousarray(x).reshape(x.shape).view(dtypes.numpy_dtype(dtype))

    def complex_(x: Any, y: Any) -> Any:
        # Part by part: in x + 1j * y an infinite y would make the real part NaN.
        out = (x + y).astype("complex64" if x.dtype == "float32" else "complex128")
        out.real, out.imag = x, y
        return out

    own = {
        "rsqrt": rsqrt, "sigmoid": sigmoid, "select": select, "cast": cast, "bitcast": bitcast,
        "complex": complex_, "real": xp.real, "imag": xp.imag,
    }  # fmt: skip
    table = {name: getattr(xp, ufunc) for name, ufunc in UFUNCS.items()}
    return {name: Kernel(fn) for name, fn in (table | own).items()}
