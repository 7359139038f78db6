"""Regions whose reductions are outputs and nothing else, over any dimensions.

Each block reduces a share of the elements, for some of the kept indices; the last one to be done
with them combines the shares, always in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from kbackend.engine.program import Ints, Spec
from kbackend_cupy.codegen.body import Body
from kbackend_cupy.codegen.launch import BLOCK, THREADS, Kernel, Launch
from kbackend_cupy.codegen.operations import nothing
from kbackend_cupy.codegen.scalar import HALVES, TYPES
from kbackend_cupy.codegen.space import Space, coordinates, offset

_ACROSS = 32
# Elements for each thread of a share, where there are many; and how many shares there may be.
_EACH, _SHARES = 16, 512
# Blocks that keep a device busy.
_BUSY = 512


class Tile(NamedTuple):
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

    def columns(self, rows: int) -> int:
        """Blocks for the shares of one number."""
        return -(-rows // self.across)


class Sum(NamedTuple):
    """A reduction.

    Attributes:
        name: of the variable that holds it.
        type: C++ type of the variable.
        start: what it begins with.
        op: C++ type that knows how two of them become one.
    """

    name: str
    type: str
    start: str
    op: str

    def of_columns(self, tile: Tile) -> str:
        """The statement that reduces those of a block's threads."""
        size = f"{tile.across}, {tile.along}"
        return f"{self.name} = kb::of_column<{self.op}, {size}>({self.name});"


class Parts(NamedTuple):
    """The statements of a reduction.

    Attributes:
        kept: for a kept index, before its elements; with its coordinates k0, k1, ….
        inner: for an element of it; with its coordinates c0, c1, ….
        first: for a kept index, once.
        last: for a kept index, when its sums are complete.
    """

    kept: list[str]
    inner: list[str]
    first: list[str]
    last: list[str]


def launches(body: Body) -> tuple[list[Launch], list[Spec], int]:
    """The launch of a region, the scratch memory that it needs, and how many tickets."""
    space = body.space
    if not space.rows:
        return [], [], 0
    tile = tile_of(space)
    sums, parts = _sums(body), _parts(body)
    kernel = kernel_of(body.libraries, body.parameters(), space, tile, sums, parts)
    behind = len(body.region.outputs) + body.count
    scratch, tickets = [], 0
    if tile.shares > 1:
        scratch = [Spec((tile.shares, space.rows), _partial(body, i)) for i in body.reductions]
        tickets = tile.columns(space.rows)
    # Shares, and behind them the tickets.
    more = range(behind, behind + len(scratch) + (1 if tickets else 0))
    return [launch_of("shares", kernel, space, tile, (*body.places(), *more))], scratch, tickets


def launch_of(what: str, kernel: Kernel, space: Space, tile: Tile, arrays: Ints) -> Launch:
    """The launch of a kernel that `kernel_of` made."""
    rows = np.uint64(space.rows) if space.long else np.uint32(space.rows)
    blocks = tile.columns(space.rows) * tile.shares
    return kernel.launch(what, blocks, arrays, (rows,), space.rows * space.length)


def tile_of(space: Space) -> Tile:
    """How the elements are shared between blocks."""
    # Neighbouring threads read neighbouring elements.
    across = _ACROSS if space.whole.kept and space.whole.kept[-1] == 1 and space.rows > 1 else 1
    along = THREADS // across
    columns = -(-space.rows // across)
    wanted = min(-(-space.length // (along * _EACH)), -(-_BUSY // columns), _SHARES)
    shares = max(1, wanted)
    share = -(-space.length // shares)
    return Tile(across, along, max(1, -(-space.length // max(1, share))), share)


def kernel_of(
    libraries: Callable[..., str],
    parameters: Sequence[str],
    space: Space,
    tile: Tile,
    sums: Sequence[Sum],
    parts: Parts,
) -> Kernel:
    """A kernel that reduces; if there are several shares, it takes an array for those of each sum,
    and tickets, as its last parameters.

    Args:
        libraries: gives the texts that it begins with, by their names.
        parameters: outputs and inputs.
        space: the loops.
        tile: how they are shared.
        sums: the reductions.
        parts: statements.
    """
    index = space.counter
    before = [*coordinates("row", space.kept, "k", index), *parts.kept]
    inner = [*coordinates("m", space.reduced, "c", index), *parts.inner]
    lines = [
        f"const unsigned columns = (unsigned)((rows + {tile.across - 1}) / {tile.across});",
        f"const unsigned column = {BLOCK} % columns, share = {BLOCK} / columns;",
        f"const unsigned x = threadIdx.x % {tile.across}, y = threadIdx.x / {tile.across};",
        f"const {index} row = ({index})column * {tile.across} + x;",
        f"const {index} begin = ({index})share * {tile.share}u;",
        f"const {index} behind = begin + {tile.share}u;",
        f"const {index} end = behind < {space.length}u ? behind : {space.length}u;",
        *[f"{one.type} {one.name} = {one.start};" for one in sums],
        "if (row < rows) {",
        *[f"    {line}" for line in before],
        f"    for ({index} m = begin + y; m < end; m += {tile.along}) {{",
        *[f"        {line}" for line in inner],
        "    }",
        *([f"    if (share == 0 && y == 0) {{ {' '.join(parts.first)} }}"] if parts.first else []),
        "}",
        *[one.of_columns(tile) for one in sums],
    ]
    parameters, names = list(parameters), ["reduce.cuh"]
    if tile.shares > 1:
        parameters += [f"{one.type}* p{i}" for i, one in enumerate(sums)] + ["unsigned* tickets"]
        names.append("tickets.cuh")
        lines += _combined(tile, sums)
    last = [f"    {line}" for line in parts.last]
    lines += ["if (y == 0 && row < rows) {", *last, "}"]
    return Kernel(libraries(*names), "", tuple(parameters), (f"{index} rows",), tuple(lines))


def _combined(tile: Tile, sums: Sequence[Sum]) -> list[str]:
    """The last block of some kept indices combines their shares."""
    return [
        "if (y == 0 && row < rows) {",
        *[f"    p{i}[share * rows + row] = {one.name};" for i, one in enumerate(sums)],
        "}",
        f"if (!kb::is_last(tickets + column, {tile.shares}u)) return;",
        *[f"{one.name} = {one.start};" for one in sums],
        "if (row < rows) {",
        "#pragma unroll 4",
        f"    for (unsigned other = y; other < {tile.shares}u; other += {tile.along})  {{",
        *[
            f"        {one.name} = {one.op}::of({one.name}, p{i}[other * rows + row]);"
            for i, one in enumerate(sums)
        ],
        "    }",
        "}",
        *[one.of_columns(tile) for one in sums],
    ]


# ----- of regions -----


def _sums(body: Body) -> list[Sum]:
    found = []
    for i in body.reductions:
        name = body.region.nodes[i - body.count].name
        start = nothing(name, body.dtypes[i])
        found.append(Sum(f"sum{i}", body.type(i), start, f"kb::{name}"))
    return found


def _parts(body: Body) -> Parts:
    space, region = body.space, body.region
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
    whole = f"{offset(space.whole.kept, 'k', space.long)} + "
    whole += offset(space.whole.reduced, "c", space.long)

    def kept_place(value: int) -> str:
        return offset(space.inputs[value].kept, "k", space.long)

    def place(value: int) -> str:
        return f"{kept_place(value)} + {offset(space.inputs[value].reduced, 'c', space.long)}"

    inner = [body.statement(value, place) for value in needed if value in body.whole]
    for i in body.reductions:
        node = region.nodes[i - body.count]
        inner.append(f"sum{i} = kb::{node.name}::of(sum{i}, {body.name(node.inputs[0])});")
    return Parts(
        kept=[body.statement(value, kept_place) for value in kept],
        inner=inner + [body.write(i, whole) for i in wide],
        first=[body.write(i, "row") for i in kept_outputs],
        last=[
            f"o{output}[row] = kb::store<{TYPES[body.dtypes[value]]}>(sum{value});"
            for output, value in enumerate(region.outputs)
            if _reduced(body, output)
        ],
    )


def _partial(body: Body, value: int) -> str:
    dtype = body.dtypes[value]
    return "float32" if dtype in HALVES else dtype


def _reduced(body: Body, output: int) -> bool:
    return body.region.outputs[output] in body.reductions
