"""Numbers in CUDA text: their types and how constants are written."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.base.dtypes import itemsize, numpy_dtype

__all__ = ["HALVES", "TYPES", "computed", "itemsize", "literal"]

# dtype -> C++ type in memory.
TYPES = {
    "bool": "bool",
    "int8": "signed char", "int16": "short", "int32": "int", "int64": "long long",
    "uint8": "unsigned char", "uint16": "unsigned short", "uint32": "unsigned int",
    "uint64": "unsigned long long",
    "float16": "__half", "bfloat16": "__nv_bfloat16", "float32": "float", "float64": "double",
}  # fmt: skip
HALVES = frozenset(("float16", "bfloat16"))


def computed(dtype: str) -> str:
    """The C++ type that numbers of a dtype are computed in."""
    return "float" if dtype in HALVES else TYPES[dtype]


def literal(value: Any, dtype: str) -> str:
    """A constant of a dtype, in the type that it is computed in.

    >>> literal(0.5, "float32"), literal(True, "bool"), literal(-1, "int64")
    ('0x1.0000000000000p-1f', 'true', '(long long)-1LL')
    """
    with np.errstate(over="ignore"):
        number = np.asarray(value).astype(numpy_dtype(dtype))
    if dtype == "bool":
        return "true" if number else "false"
    if dtype not in HALVES and not dtype.startswith("float"):
        whole = int(number)
        if whole == -(1 << 63):
            # C++ has no such literal, only the negative of one that is too large.
            return "(long long)(-0x7fffffffffffffffLL - 1)"
        return f"({TYPES[dtype]}){whole}{'ULL' if dtype == 'uint64' else 'LL'}"
    if dtype == "float64":
        if not np.isfinite(number):
            return f"__longlong_as_double({hex(int(number.view('uint64')))}ULL)"
        return float(number).hex()
    single = number.astype(np.float32)
    if not np.isfinite(single):
        return f"__uint_as_float({hex(int(single.view('uint32')))}u)"
    return f"{float(single).hex()}f"
