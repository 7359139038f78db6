"""Regions whose reductions are outputs and nothing else, over any dimensions.

Each block reduces a share of the elements, for some of the kept indices; a second kernel combines
the shares, always in the same order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kbackend.engine.program import Spec
from kbackend_cupy.codegen.body import Body
from kbackend_cupy.codegen.launch import NAME, Launch, named
from kbackend_cupy.codegen.operations import nothing
from kbackend_cupy.codegen.scalar import HALVES, TYPES
from kbackend_cupy.codegen.space import coordinates, offset

_THREADS = 256
_ACROSS = 32
# Elements for each thread of a share, where there are many; and how many shares there may be.
_EACH, _SHARES = 16, 512
# Blocks that keep a device busy.
_BUSY = 512


class _Tile(NamedTuple):
    """What a block does.

    Attributes:
        across: threads for neighbouring kept indices.
        along: threads for the elements of one of them.
        shares: of the elements, each for a block.
        share: elements of a share.
    """

    across: int
    along: int
    shares: int
    share: int


def launches(body: Body) -> tuple[list[Launch], list[Spec]]:
    """The launches of a region, and the scratch memory that they need."""
    space = body.space
    if not space.rows:
        return [], []
    tile = _tile(body)
    columns = -(-space.rows // tile.across)
    kind = np.uint64 if space.long else np.uint32
    text, name = named(_text(body, tile), "shares")
    parts = body.reductions if tile.shares > 1 else []
    scratch = [Spec((tile.shares, space.rows), _partial(body, i)) for i in parts]
    behind = len(body.region.outputs) + body.count
    places = (*body.places(), *range(behind, behind + len(scratch)))
    block = (tile.across, tile.along, 1)
    scalars = (kind(space.rows),)
    found = [Launch(text, name, (columns, tile.shares, 1), block, places, scalars)]
    if parts:
        text, name = named(_combination(body, tile), "combine")
        narrow = [i for i in range(len(body.region.outputs)) if _reduced(body, i)]
        places = (*narrow, *range(behind, behind + len(scratch)))
        threads, each = (_THREADS, 1) if space.rows >= _ACROSS else (_ACROSS, _ACROSS)
        blocks = -(-space.rows * each // threads)
        found.append(Launch(text, name, (blocks, 1, 1), (threads, 1, 1), places, scalars))
    return found, scratch


def _partial(body: Body, value: int) -> str:
    dtype = body.dtypes[value]
    return "float32" if dtype in HALVES else dtype


def _reduced(body: Body, output: int) -> bool:
    return body.region.outputs[output] in body.reductions


def _tile(body: Body) -> _Tile:
    space = body.space
    # Neighbouring threads read neighbouring elements.
    across = _ACROSS if space.whole.kept and space.whole.kept[-1] == 1 and space.rows > 1 else 1
    along = _THREADS // across
    columns = -(-space.rows // across)
    wanted = min(-(-space.length // (along * _EACH)), -(-_BUSY // columns), _SHARES)
    shares = max(1, wanted)
    share = -(-space.length // shares)
    return _Tile(across, along, max(1, -(-space.length // max(1, share))), share)


def _text(body: Body, tile: _Tile) -> str:
    space, index, region = body.space, body.space.counter, body.region
    parts = body.reductions if tile.shares > 1 else []
    parameters = body.parameters() + [f"{TYPES[_partial(body, i)]}* p{i}" for i in parts]
    goals = [region.nodes[i - body.count].inputs[0] for i in body.reductions]
    wide = [i for i in range(len(region.outputs)) if body.widely(i)]
    goals += [region.outputs[i] for i in wide]
    # Kept values that are outputs come from kept inputs alone.
    kept_outputs = [
        i for i in range(len(region.outputs)) if not body.widely(i) and not _reduced(body, i)
    ]
    goals += [region.outputs[i] for i in kept_outputs]
    needed = body.needed(goals, body.reductions)
    kept = [value for value in needed if value not in body.whole]
    inner = [value for value in needed if value in body.whole]

    def kept_place(value: int) -> str:
        return offset(space.inputs[value].kept, "k", space.long)

    def place(value: int) -> str:
        return f"{kept_place(value)} + {offset(space.inputs[value].reduced, 'c', space.long)}"

    loop = [*coordinates("m", space.reduced, "c", index)]
    loop += [body.statement(value, place) for value in inner]
    for i in body.reductions:
        node = region.nodes[i - body.count]
        loop.append(f"sum{i} = kb::{node.name}::of(sum{i}, {body.name(node.inputs[0])});")
    whole = f"{offset(space.whole.kept, 'k', space.long)} + "
    whole += offset(space.whole.reduced, "c", space.long)
    loop += [body.write(i, whole) for i in wide]
    lines = [
        f'extern "C" __global__ void __launch_bounds__({_THREADS}) {NAME}(',
        f"    {', '.join(parameters)}, {index} rows) {{",
        f"    const {index} row = ({index})blockIdx.x * {tile.across} + threadIdx.x;",
        f"    const {index} begin = ({index})blockIdx.y * {tile.share}u;",
        f"    const {index} behind = begin + {tile.share}u;",
        f"    const {index} end = behind < {space.length}u ? behind : {space.length}u;",
        *[
            f"    {body.type(i)} sum{i} = {nothing(_name(body, i), body.dtypes[i])};"
            for i in body.reductions
        ],
        "    if (row < rows) {",
        *[f"        {line}" for line in coordinates("row", space.kept, "k", index)],
        *[f"        {body.statement(value, kept_place)}" for value in kept],
        f"        for ({index} m = begin + threadIdx.y; m < end; m += {tile.along}) {{",
        *[f"            {line}" for line in loop],
        "        }",
    ]
    if kept_outputs:
        lines.append("        if (blockIdx.y == 0 && threadIdx.y == 0) {")
        lines += [f"            {body.write(i, 'row')}" for i in kept_outputs]
        lines.append("        }")
    lines.append("    }")
    for i in body.reductions:
        found = f"kb::of_column<kb::{_name(body, i)}, {tile.across}, {tile.along}>(sum{i})"
        lines.append(f"    sum{i} = {found};")
    lines.append("    if (threadIdx.y == 0 && row < rows) {")
    if tile.shares > 1:
        lines += [f"        p{i}[blockIdx.y * rows + row] = sum{i};" for i in parts]
    else:
        lines += [
            f"        o{output}[row] = {_stored(body, value)};"
            for output, value in enumerate(region.outputs)
            if _reduced(body, output)
        ]
    lines += ["    }", "}"]
    return body.libraries("reduce.cuh") + "\n".join(lines) + "\n"


def _stored(body: Body, value: int) -> str:
    return f"kb::store<{TYPES[body.dtypes[value]]}>(sum{value})"


def _name(body: Body, value: int) -> str:
    return body.region.nodes[value - body.count].name


def _combination(body: Body, tile: _Tile) -> str:
    """Combines the shares: a thread for each kept index, or a warp where there are few."""
    index, region = body.space.counter, body.region
    narrow = [(o, v) for o, v in enumerate(region.outputs) if _reduced(body, o)]
    parameters = [f"{TYPES[body.dtypes[value]]}* o{output}" for output, value in narrow]
    parameters += [f"const {TYPES[_partial(body, i)]}* p{i}" for i in body.reductions]
    each = 1 if body.space.rows >= _ACROSS else _ACROSS
    lines = [
        f'extern "C" __global__ void __launch_bounds__({_THREADS}) {NAME}(',
        f"    {', '.join(parameters)}, {index} rows) {{",
        f"    const {index} row = (({index})blockIdx.x * blockDim.x + threadIdx.x) / {each};",
        f"    const unsigned member = threadIdx.x % {each};",
    ]
    for i in body.reductions:
        name = _name(body, i)
        lines += [
            f"    {body.type(i)} sum{i} = {nothing(name, body.dtypes[i])};",
            "    if (row < rows)",
            f"        for (unsigned share = member; share < {tile.shares}; share += {each})",
            f"            sum{i} = kb::{name}::of(sum{i}, p{i}[share * rows + row]);",
            f"    sum{i} = kb::of_group<kb::{name}, {each}>(sum{i});",
        ]
    lines.append("    if (row < rows && member == 0) {")
    lines += [f"        o{output}[row] = {_stored(body, value)};" for output, value in narrow]
    lines += ["    }", "}"]
    return body.libraries("reduce.cuh") + "\n".join(lines) + "\n"
