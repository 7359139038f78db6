"""What is done elementwise to a result that is being made."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kbackend_numba.codegen.value import Value


class Part(NamedTuple):
    """Elements of a result that are done at once.

    Attributes:
        at: number of the first one in the result.
        column: and in its row.
        mask: which lanes there are; `None`: all.
    """

    at: Value
    column: Value
    mask: Value | None


# Writes what becomes of a vector of the result.
Finish = Callable[[Value, Part], Value]
