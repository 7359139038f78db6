"""Which dtypes CuPy's arrays can have."""

from __future__ import annotations

from kbackend.base import dtypes
from kbackend.base.errors import EngineError

BFLOAT16 = dtypes.numpy_dtype("bfloat16")

SUPPORTED = frozenset(name for name in dtypes.NUMPY_DTYPES if not name.startswith("float8"))


def require(dtype: str) -> str:
    """`dtype` itself; raises if CuPy has no arrays of it."""
    if dtype not in SUPPORTED:
        raise EngineError(
            f"The engine 'cupy' has no arrays of {dtype}, which CuPy does not know. "
            "Use 'bfloat16' or 'float16'."
        )
    return dtype
