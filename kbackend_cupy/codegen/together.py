"""Several kernels as one launch: each block of threads belongs to one of them.

A small array keeps only a few blocks busy, and a launch takes longer than they do. So what an
optimizer does to each of a model's variables is one kernel, which is handed all of their arrays.
What is too small for more than one block may come behind all others: the last block to be done does
it, one kernel after the other, and each finds what those before have written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kbackend_cupy.codegen.launch import (
    BLOCK,
    BLOCKS,
    SHARED,
    THREADS,
    Kernel,
    Launch,
    library,
    named,
    opening,
)

# In the order in which they build on each other.
_LIBRARIES = (
    "elementwise.cuh", "half.cuh", "memory.cuh", "matrices.cuh", "moments.cuh", "reduce.cuh",
    "tickets.cuh", "attention.cuh",
)  # fmt: skip
# What a kernel may be handed, in bytes, on every device.
ROOM = 4096


def room(launch: Launch) -> int:
    """Bytes that a launch's arguments take among those of others."""
    return 8 * len(launch.arrays) + 16


def together(head: Sequence[Launch], tail: Sequence[Launch] = ()) -> Launch:
    """One launch for several.

    Args:
        head: launches at once. What one of them writes, no other one reads or writes.
        tail: launches behind them, one after the other, each of as many threads as those of `head`.
            The arguments of all take no more than `ROOM`.

    Returns:
        A launch that gets the arrays of the first of `head`, those of the second, and so on, then
        those of `tail`, and behind them, if there are any, a ticket.
    """
    launches = [*head, *tail]
    kernels = [launch.kernel for launch in launches if launch.kernel is not None]
    kinds = list(dict.fromkeys(kernels))
    parameters = [_renamed(one, m) for m, kernel in enumerate(kernels) for one in kernel.parameters]
    parameters += ["unsigned* ticket"] if tail else []
    parameters += [_renamed(one, m) for m, kernel in enumerate(kernels) for one in kernel.scalars]
    parameters += [f"unsigned end{m}" for m in range(len(head))]
    order = sorted(range(len(head)), key=lambda m: kinds.index(kernels[m]))
    heads = "".join(kind.head for kind in kinds) + (library("tickets.cuh") if tail else "")
    threads = max(kernel.threads for kernel in kernels)
    lines = [library(name) for name in _LIBRARIES if library(name) in heads]
    for number, kind in enumerate(kinds):
        lines += _function(kind, number)
    shared = max(kind.shared for kind in kinds)
    lines += opening(parameters, threads, any(kind.roomy for kind in kinds), shared)
    before = "0u"
    for number, kind in enumerate(kinds):
        members = [m for m in order if kernels[m] == kind]
        if members:
            lines += _dispatch(kind, number, members, before, threads)
            before = f"end{members[-1]}"
    if tail:
        lines.append("    if (!kb::is_last(ticket, gridDim.x)) return;")
    for m in range(len(head), len(launches)):
        lines += _behind(kinds.index(kernels[m]), kernels[m], m, launches[m].grid[0])
    what = "together" if threads >= THREADS else "products"
    text, name = named("\n".join([*lines, "}\n"]), what)
    ends: dict[int, Any] = {}
    behind = 0
    for m in order:
        behind += launches[m].grid[0]
        ends[m] = np.uint32(behind)
    scalars = [scalar for launch in launches for scalar in launch.scalars]
    scalars += [ends[m] for m in range(len(head))]
    count = sum(len(launch.arrays) for launch in launches) + (1 if tail else 0)
    grid, block = (behind, 1, 1), (threads, 1, 1)
    return Launch(text, name, grid, block, tuple(range(count)), tuple(scalars))


def _split(parameter: str) -> tuple[str, str]:
    """The type and the name of a parameter."""
    kind, _, name = parameter.rpartition(" ")
    return kind, name


def _renamed(parameter: str, member: int) -> str:
    kind, name = _split(parameter)
    return f"{kind} {name}_{member}"


def _shared(kind: Kernel, name: str) -> list[str]:
    """The shared memory among the arguments of a kernel that uses it."""
    return [name] if kind.shared else []


def _function(kind: Kernel, number: int) -> list[str]:
    """A kernel as a function of a block's number."""
    inside = [line.replace(BLOCK, "block").replace(BLOCKS, "blocks") for line in kind.lines]
    given = [*kind.parameters, *kind.scalars, *_shared(kind, f"char* {SHARED}")]
    given += ["unsigned block", "unsigned blocks"]
    return [
        f"namespace kind{number} {{",
        kind.functions,
        "__device__ __forceinline__ void run(",
        f"    {', '.join(given)}) {{",
        *[f"    {line}" for line in inside],
        "}",
        "}",
    ]


def _dispatch(
    kind: Kernel, number: int, members: Sequence[int], before: str, threads: int
) -> list[str]:
    """Finds the member that a block belongs to, among those of one kind."""
    names = [_split(parameter) for parameter in (*kind.parameters, *kind.scalars)]
    first, last = members[0], members[-1]
    where = [f"blockIdx.x >= {before}"] if before != "0u" else []
    where.append(f"blockIdx.x < end{last}")
    where += [f"threadIdx.x < {kind.threads}u"] if kind.threads < threads else []
    lines = [
        f"    if ({' && '.join(where)}) {{",
        *[f"        {type_} {name} = {name}_{first};" for type_, name in names],
        f"        unsigned begin = {before}, end = end{first};",
    ]
    for m in members[1:]:
        chosen = " ".join(f"{name} = {name}_{m};" for _, name in names)
        lines.append(f"        if (blockIdx.x >= end) {{ {chosen} begin = end; end = end{m}; }}")
    given = ", ".join([*[name for _, name in names], *_shared(kind, SHARED)])
    return [
        *lines,
        f"        kind{number}::run({given}, blockIdx.x - begin, end - begin);",
        "    }",
    ]


def _behind(number: int, kernel: Kernel, member: int, blocks: int) -> list[str]:
    """All blocks of a member, one after the other."""
    names = [_split(parameter)[1] for parameter in (*kernel.parameters, *kernel.scalars)]
    given = ", ".join([*[f"{name}_{member}" for name in names], *_shared(kernel, SHARED)])
    if blocks == 1:
        return [f"    kind{number}::run({given}, 0, 1);", "    __syncthreads();"]
    return [
        f"    for (unsigned block = 0; block < {blocks}u; ++block) {{",
        f"        kind{number}::run({given}, block, {blocks}u);",
        "        __syncthreads();",
        "    }",
    ]
