"""Which of NumPy's functions are vectorised on this processor."""

from __future__ import annotations


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
