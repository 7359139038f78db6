"""Dtype names, their NumPy counterparts, and the promotion lattice that all engines share.

A dtype is known by its name (`"float32"`). Python's `bool`, `int` and `float` stand for weak types:
they take part in promotion without forcing a width, as in `x * 2.0`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np

from kbackend.base import config

# name -> NumPy dtype. The extended floats come from ml_dtypes.
NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(name)
    for name in (
        "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
        "float16", "float32", "float64", "complex64", "complex128",
    )
}  # fmt: skip
NUMPY_DTYPES["bfloat16"] = np.dtype(ml_dtypes.bfloat16)
NUMPY_DTYPES["float8_e4m3fn"] = np.dtype(ml_dtypes.float8_e4m3fn)
NUMPY_DTYPES["float8_e5m2"] = np.dtype(ml_dtypes.float8_e5m2)

DTYPE_NAMES: dict[np.dtype[Any], str] = {dtype: name for name, dtype in NUMPY_DTYPES.items()}
# Some platforms have two C types of one width; both carry the same name.
for _code in "bBhHiIlLqQ":
    DTYPE_NAMES.setdefault(np.dtype(_code), np.dtype(_code).name)

FLOATS = ("float8_e4m3fn", "float8_e5m2", "bfloat16", "float16", "float32", "float64")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
COMPLEX = ("complex64", "complex128")

FLOAT_SET = frozenset(FLOATS)
INT_SET = frozenset(SIGNED + UNSIGNED)
COMPLEX_SET = frozenset(COMPLEX)
INEXACT_SET = FLOAT_SET | COMPLEX_SET

_PYTHON_NAMES = {bool: "bool", int: "int", float: "float", complex: "complex"}


def is_float(name: str) -> bool:
    """Whether the dtype called `name` is a real floating type."""
    return name in FLOAT_SET


def is_int(name: str) -> bool:
    """Whether the dtype called `name` is a signed or unsigned integer type."""
    return name in INT_SET


def itemsize(name: str) -> int:
    """Bytes of one element of the dtype called `name`."""
    return NUMPY_DTYPES[name].itemsize


def name_of(dtype: np.dtype[Any]) -> str:
    """The name of a NumPy dtype; raises if it is not one of ours."""
    try:
        return DTYPE_NAMES[dtype]
    except KeyError:
        raise TypeError(
            f"Unsupported dtype: {dtype}. Supported: {', '.join(NUMPY_DTYPES)}."
        ) from None


def standardize_dtype(dtype: Any) -> str:
    """The canonical name of a dtype given in any usual spelling.

    Args:
        dtype: `None` (the configured `floatx`), a name, a Python type (`int` is int32, `float` is
            `floatx`), a NumPy dtype or scalar type, or another framework's dtype such as
            `torch.float32`.

    Returns:
        The name, such as `"float32"`.

    Raises:
        ValueError: the dtype is not supported.

    Example:
        >>> standardize_dtype("int"), standardize_dtype(np.float64)
        ('int32', 'float64')
    """
    if dtype is None:
        return config.floatx()
    if isinstance(dtype, str):
        if dtype in NUMPY_DTYPES or dtype == "string":
            return dtype
        if dtype == "int":
            return "int32"
        if dtype == "float":
            return config.floatx()
    elif dtype is bool or dtype is int or dtype is float or dtype is complex:
        # By identity: np.dtype("float64") == float holds.
        return {bool: "bool", int: "int32", float: config.floatx(), complex: "complex64"}[dtype]
    else:
        name = DTYPE_NAMES.get(dtype) if isinstance(dtype, np.dtype) else None
        if name is not None:
            return name
        # torch.float32 prints as that; tf.float32 has a `name`; np.float32 has a `__name__`.
        text = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
        text = str(text).rsplit(".", 1)[-1]
        if text in NUMPY_DTYPES:
            return text
        if text in ("str", "str_", "object", "object_") or text.startswith("str"):
            return "string"
    raise ValueError(f"Invalid dtype: {dtype!r}. Expected one of: {', '.join(NUMPY_DTYPES)}.")


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype of a canonical name."""
    return NUMPY_DTYPES[name]


# The lattice: an edge leads from a type to the next wider ones; two types meet at their least
# upper bound. `int`, `float` and `complex` are the weak types of Python scalars.
_EDGES: dict[str, tuple[str, ...]] = {
    "bool": ("int",),
    "int": ("uint8", "int8"),
    "uint8": ("int16", "uint16"),
    "uint16": ("int32", "uint32"),
    "uint32": ("int64", "uint64"),
    "uint64": ("float",),
    "int8": ("int16",),
    "int16": ("int32",),
    "int32": ("int64",),
    "int64": ("float",),
    "float": ("float8_e4m3fn", "float8_e5m2", "bfloat16", "float16", "complex"),
    "float8_e4m3fn": ("bfloat16", "float16"),
    "float8_e5m2": ("bfloat16", "float16"),
    "bfloat16": ("float32",),
    "float16": ("float32",),
    "float32": ("float64", "complex64"),
    "float64": ("complex128",),
    "complex": ("complex64",),
    "complex64": ("complex128",),
    "complex128": (),
}


def _upward(name: str) -> set[str]:
    found = {name}
    for wider in _EDGES[name]:
        found |= _upward(wider)
    return found


_UPPER = {name: frozenset(_upward(name)) for name in _EDGES}


@lru_cache(maxsize=4096)
def _join(names: frozenset[str]) -> str:
    """Least upper bound of a set of lattice nodes."""
    common = frozenset.intersection(*(_UPPER[name] for name in names))
    for candidate in names & common or common:
        if common <= _UPPER[candidate]:
            return candidate
    raise ValueError(
        f"No common dtype for {', '.join(sorted(names))}. Cast one of them explicitly first."
    )


def result_type(*dtypes: Any) -> str:
    """The dtype that values of the given dtypes promote to together.

    Args:
        *dtypes: names, NumPy dtypes, or Python's `bool`, `int`, `float` for weak scalars. `None`
            stands for the configured float type.

    Returns:
        The name of the least dtype that holds them all. Weak types never widen a strong one.

    Example:
        >>> result_type("int32", "float32"), result_type("float16", float)
        ('float32', 'float16')
    """
    if not dtypes:
        return config.floatx()
    names = []
    for dtype in dtypes:
        if dtype.__class__ is str and dtype in _EDGES:
            names.append(dtype)
        else:
            try:
                weak = _PYTHON_NAMES.get(dtype)
            except TypeError:
                weak = None
            names.append(weak or standardize_dtype(dtype))
    joined = names[0] if len(names) == 1 else _join(frozenset(names))
    if joined == "int":
        return "int32"
    if joined == "float":
        return config.floatx()
    return "complex64" if joined == "complex" else joined


def to_float(name: str) -> str:
    """The float dtype that a function such as `exp` computes in for an input of dtype `name`."""
    return name if name in INEXACT_SET else result_type(name, float)
