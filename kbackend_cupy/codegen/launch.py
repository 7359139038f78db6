"""What is launched: a CUDA text, one of its kernels, and how many threads it gets."""

from __future__ import annotations

import functools
import hashlib
import pathlib
from dataclasses import dataclass
from typing import Any

import numpy as np

_FOLDER = pathlib.Path(__file__).parents[1] / "cuda"
# Stands in a text for the name of its kernel.
NAME = "KERNEL"
# Threads of a block, where a kernel is one loop.
THREADS = 256
BLOCK, BLOCKS = "blockIdx.x", "gridDim.x"

Size = tuple[int, int, int]


@functools.cache
def library(name: str) -> str:
    """A text of the folder `kbackend_cupy/cuda`."""
    return (_FOLDER / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Loop:
    """A kernel that is one loop, which its blocks share.

    Attributes:
        head: libraries that the text begins with.
        functions: what the loop calls.
        parameters: arrays, as "const float* x".
        counter: type of the last parameter `n`, the number of elements.
        lines: the loop, with `BLOCK` for a block's number and `BLOCKS` for how many there are.
    """

    head: str
    functions: str
    parameters: tuple[str, ...]
    counter: str
    lines: tuple[str, ...]

    def launch(self, what: str, n: int, blocks: int, arrays: tuple[int, ...]) -> Launch:
        """The launch of this kernel alone.

        Args:
            what: the kernel's name begins with it.
            n: number of elements.
            blocks: how many there are.
            arrays: which of the step's arrays the parameters are.
        """
        lines = [
            f'extern "C" __global__ void __launch_bounds__({THREADS}) {NAME}(',
            f"    {', '.join(self.parameters)}, {self.counter} n) {{",
            *[f"    {line}" for line in self.lines],
            "}\n",
        ]
        text, name = named(self.head + self.functions + "\n".join(lines), what)
        count = np.uint32(n) if self.counter == "unsigned" else np.uint64(n)
        return Launch(text, name, (blocks, 1, 1), (THREADS, 1, 1), arrays, (count,), self)


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
        loop: what the kernel is, if it is one loop.
    """

    text: str
    name: str
    grid: Size
    block: Size
    arrays: tuple[int, ...]
    scalars: tuple[Any, ...] = ()
    loop: Loop | None = None


def named(text: str, what: str) -> tuple[str, str]:
    """A text with its kernel named after what it does and what it says; (text, name)."""
    name = f"{what}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return text.replace(NAME, name), name
