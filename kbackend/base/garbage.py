"""Python's search for garbage, put off while much is made that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is looked for within the block.

    Importing modules and compiling programs make tens of thousands of objects that stay. Python
    would look through all of them again and again: that took up to a fifth of the time.

    >>> with uncollected():
    ...     gc.isenabled()
    False
    """
    if not gc.isenabled():
        # A block around this one, or the user, has put it off.
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
