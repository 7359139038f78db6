"""Which of NumPy's functions are vectorised on this processor."""

from __future__ import annotations

from math import e

import numpy as np


def vectorised(name: str) -> bool:
    """Whether NumPy has loops for a function on float32 that were made for this processor.

    Args:
        name: of a ufunc, such as "exp2".
    """
    try:
        from numpy.lib.introspect import opt_func_info
    except ImportError:
        return False
    loops = opt_func_info(func_name=f"^{name}$", signature="float32").get(name, {})
    return any("baseline" not in loop["current"] for loop in loops.values())


# NumPy's powers of 2 take half the time of those of e where they are vectorised, else far more. For
# kernels in float32 that multiply the exponent by a constant anyway.
POWER, BASE = (np.exp2, 2.0) if vectorised("exp2") else (np.exp, e)
