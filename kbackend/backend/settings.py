"""Names, settings and kinds: what `keras.backend` still has today."""

from __future__ import annotations

from typing import Any

from kbackend.base import config, dtypes
from kbackend.ops import convert_to_tensor


def is_float_dtype(dtype: Any) -> bool:
    """Whether a dtype is a real floating type.

    >>> is_float_dtype("bfloat16"), is_float_dtype("int8")
    (True, False)
    """
    return dtypes.is_float(dtypes.standardize_dtype(dtype))


def is_int_dtype(dtype: Any) -> bool:
    """Whether a dtype is a signed or unsigned integer type.

    >>> is_int_dtype("uint8"), is_int_dtype("float32")
    (True, False)
    """
    return dtypes.is_int(dtypes.standardize_dtype(dtype))


def cast_to_floatx(x: Any) -> Any:
    """Values in the configured float type.

    >>> cast_to_floatx([1, 2]).dtype
    'float32'
    """
    return convert_to_tensor(x, dtype=config.floatx())
