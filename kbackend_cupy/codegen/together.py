"""Several loops as one launch: each block of threads belongs to one of them.

A small array keeps only a few blocks busy, and a launch takes longer than they do. So what an
optimizer does to each of a model's variables is one kernel, which is handed all of their arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kbackend_cupy.codegen.launch import (
    BLOCK,
    BLOCKS,
    NAME,
    THREADS,
    Launch,
    Loop,
    library,
    named,
)

# In the order in which they build on each other.
_LIBRARIES = ("elementwise.cuh", "half.cuh", "memory.cuh")
# What a kernel may be handed, in bytes, on every device.
ROOM = 4096


def room(launch: Launch) -> int:
    """Bytes that a launch's arguments take among those of others."""
    return 8 * len(launch.arrays) + 16


def together(launches: Sequence[Launch]) -> Launch:
    """One launch for several.

    Args:
        launches: of loops, whose arguments take no more than `ROOM`. What one of them writes, no
            other one reads or writes.

    Returns:
        A launch that gets the arrays of the first, then those of the second, and so on.
    """
    loops = [launch.loop for launch in launches if launch.loop is not None]
    kinds = list(dict.fromkeys(loops))
    parameters = [_renamed(one, m) for m, loop in enumerate(loops) for one in loop.parameters]
    parameters += [f"{loop.counter} n{m}" for m, loop in enumerate(loops)]
    parameters += [f"unsigned end{m}" for m in range(len(loops))]
    order = sorted(range(len(loops)), key=lambda m: kinds.index(loops[m]))
    heads = "".join(kind.head for kind in kinds)
    lines = [library(name) for name in _LIBRARIES if library(name) in heads]
    for number, kind in enumerate(kinds):
        lines += _function(kind, number)
    lines += [
        f'extern "C" __global__ void __launch_bounds__({THREADS}) {NAME}(',
        f"    {', '.join(parameters)}) {{",
    ]
    before = "0u"
    for number, kind in enumerate(kinds):
        members = [m for m in order if loops[m] is kind or loops[m] == kind]
        lines += _dispatch(kind, number, members, before)
        before = f"end{members[-1]}"
    text, name = named("\n".join([*lines, "}\n"]), "together")
    ends: dict[int, Any] = {}
    behind = 0
    for m in order:
        behind += launches[m].grid[0]
        ends[m] = np.uint32(behind)
    scalars = (*[launch.scalars[0] for launch in launches], *[ends[m] for m in range(len(loops))])
    arrays = tuple(range(sum(len(launch.arrays) for launch in launches)))
    return Launch(text, name, (behind, 1, 1), (THREADS, 1, 1), arrays, scalars)


def _split(parameter: str) -> tuple[str, str]:
    """The type and the name of a parameter."""
    kind, _, name = parameter.rpartition(" ")
    return kind, name


def _renamed(parameter: str, member: int) -> str:
    kind, name = _split(parameter)
    return f"{kind} {name}_{member}"


def _function(kind: Loop, number: int) -> list[str]:
    """A loop as a function of a block's number."""
    inside = [line.replace(BLOCK, "block").replace(BLOCKS, "blocks") for line in kind.lines]
    return [
        f"namespace kind{number} {{",
        kind.functions,
        "__device__ __forceinline__ void run(",
        f"    {', '.join(kind.parameters)}, {kind.counter} n, unsigned block, unsigned blocks) {{",
        *[f"    {line}" for line in inside],
        "}",
        "}",
    ]


def _dispatch(kind: Loop, number: int, members: Sequence[int], before: str) -> list[str]:
    """Finds the member that a block belongs to, among those of one kind."""
    names = [_split(parameter) for parameter in kind.parameters]
    first, last = members[0], members[-1]
    lines = [
        f"    if (blockIdx.x < end{last}) {{",
        *[f"        {type_} {name} = {name}_{first};" for type_, name in names],
        f"        {kind.counter} n = n{first};",
        f"        unsigned begin = {before}, end = end{first};",
    ]
    for m in members[1:]:
        chosen = " ".join(f"{name} = {name}_{m};" for _, name in names)
        lines.append(
            f"        if (blockIdx.x >= end) {{ {chosen} n = n{m}; begin = end; end = end{m}; }}"
        )
    given = ", ".join(name for _, name in names)
    return [
        *lines,
        f"        kind{number}::run({given}, n, blockIdx.x - begin, end - begin);",
        "        return;",
        "    }",
    ]
