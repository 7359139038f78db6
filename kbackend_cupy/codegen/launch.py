"""What is launched: a CUDA text, one of its kernels, and how many threads it gets."""

from __future__ import annotations

import functools
import hashlib
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_FOLDER = pathlib.Path(__file__).parents[1] / "cuda"
# Stands in a text for the name of its kernel.
NAME = "KERNEL"
# Threads of a block, unless there is a reason for others.
THREADS = 256
BLOCK, BLOCKS = "blockIdx.x", "gridDim.x"
# Shared memory that kernels of one launch have in turn.
SHARED = "room"

Size = tuple[int, int, int]


@functools.cache
def library(name: str) -> str:
    """A text of the folder `kbackend_cupy/cuda`."""
    return (_FOLDER / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Kernel:
    """What a block of threads does, so that blocks of several kernels may share a launch.

    Attributes:
        head: libraries that the text begins with.
        functions: what the lines call.
        parameters: arrays, as "const float* x".
        scalars: what follows the arrays, as "unsigned n".
        lines: statements, with `BLOCK` for a block's number and `BLOCKS` for how many there are.
        threads: of a block.
        shared: bytes that there are at `SHARED`, from a multiple of 32 on.
        roomy: whether the compiler may spend as many registers as a block can have.
    """

    head: str
    functions: str
    parameters: tuple[str, ...]
    scalars: tuple[str, ...]
    lines: tuple[str, ...]
    threads: int = THREADS
    shared: int = 0
    roomy: bool = False

    def launch(
        self, what: str, blocks: int, arrays: tuple[int, ...], scalars: tuple[Any, ...], size: int
    ) -> Launch:
        """The launch of this kernel alone.

        Args:
            what: the kernel's name begins with it.
            blocks: how many there are.
            arrays: which of the step's arrays the parameters are.
            scalars: NumPy's scalars.
            size: elements that it goes through, or what takes as long.
        """
        lines = [
            *opening([*self.parameters, *self.scalars], self.threads, self.roomy, self.shared),
            *[f"    {line}" for line in self.lines],
            "}\n",
        ]
        text, name = named(self.head + self.functions + "\n".join(lines), what)
        grid, block = (blocks, 1, 1), (self.threads, 1, 1)
        return Launch(text, name, grid, block, arrays, scalars, self, size)


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel.

    Attributes:
        text: CUDA C++, the same for all launches of the kernel.
        name: of the kernel in the text.
        grid: blocks in each direction.
        block: threads of a block in each direction.
        arrays: which of a step's arrays (outputs, inputs, scratch, tickets) it gets, in order.
        scalars: what it gets behind them, NumPy's scalars.
        kernel: what a block does, if its blocks may share a launch with others.
        size: elements that it goes through, or what takes as long.
    """

    text: str
    name: str
    grid: Size
    block: Size
    arrays: tuple[int, ...]
    scalars: tuple[Any, ...] = ()
    kernel: Kernel | None = None
    size: int = 0


def opening(
    parameters: Sequence[str], threads: int, roomy: bool = False, shared: int = 0
) -> list[str]:
    """The lines that a kernel begins with."""
    bounds = f"{threads}, 1" if roomy else str(threads)
    return [
        f'extern "C" __global__ void __launch_bounds__({bounds}) {NAME}(',
        f"    {', '.join(parameters)}) {{",
        *([f"    __shared__ __align__(32) char {SHARED}[{shared}];"] if shared else []),
    ]


def named(text: str, what: str) -> tuple[str, str]:
    """A text with its kernel named after what it does and what it says; (text, name)."""
    name = f"{what}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return text.replace(NAME, name), name
