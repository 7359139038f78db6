"""What is launched: a CUDA text, one of its kernels, and how many threads it gets."""

from __future__ import annotations

import functools
import hashlib
import pathlib
from dataclasses import dataclass
from typing import Any

_FOLDER = pathlib.Path(__file__).parents[1] / "cuda"
# Stands in a text for the name of its kernel.
NAME = "KERNEL"

Size = tuple[int, int, int]


@functools.cache
def library(name: str) -> str:
    """A text of the folder `kbackend_cupy/cuda`."""
    return (_FOLDER / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel.

    Attributes:
        text: CUDA C++, the same for all launches of the kernel.
        name: of the kernel in the text.
        grid: blocks in each direction.
        block: threads of a block in each direction.
        arrays: which of a step's arrays (outputs, inputs, scratch) it gets, in their order.
        scalars: what it gets behind them, NumPy's scalars.
    """

    text: str
    name: str
    grid: Size
    block: Size
    arrays: tuple[int, ...]
    scalars: tuple[Any, ...] = ()


def named(text: str, what: str) -> tuple[str, str]:
    """A text with its kernel named after what it does and what it says; (text, name)."""
    name = f"{what}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return text.replace(NAME, name), name
