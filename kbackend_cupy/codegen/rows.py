"""Regions that reduce the last dimensions: a group of threads does a row from end to end.

A row is gone through once for each reduction that needs another one's result. What later passes
need again stays in registers, if rows are short enough.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kbackend_cupy.codegen.body import Body
from kbackend_cupy.codegen.launch import BLOCK, BLOCKS, THREADS, Kernel, Launch
from kbackend_cupy.codegen.operations import nothing
from kbackend_cupy.codegen.scalar import HALVES, TYPES
from kbackend_cupy.codegen.space import coordinates, offset

_WARP, _MOST = 32, 512
# Elements that a thread keeps of each value, and registers that it spends on them.
_ITEMS, _REGISTERS = 8, 48
_BLOCKS = 1 << 16


class _Team(NamedTuple):
    """Who does a row.

    Attributes:
        size: threads, a power of two.
        items: elements for each of them.
        rows: that a block does at once.
    """

    size: int
    items: int
    rows: int


class _Pass(NamedTuple):
    """One way through a row.

    Attributes:
        reduces: the reductions that it computes.
        writes: outputs that it writes.
        computes: values that it computes for that.
    """

    reduces: list[int]
    writes: list[int]
    computes: list[int]


def launches(body: Body) -> list[Launch]:
    """The launch of a region's kernel; none where there are no rows."""
    rows = body.space.rows
    if not rows:
        return []
    team = _team(body.space.length)
    blocks = min(_BLOCKS, -(-rows // team.rows))
    count = np.uint64(rows) if body.space.long else np.uint32(rows)
    size = rows * body.space.length
    return [_kernel(body, team).launch("rows", blocks, body.places(), (count,), size)]


def written_last(body: Body) -> list[int]:
    """Outputs that are written when nothing is read any more but the element's own place."""
    return _passes(body, True)[-1].writes


def _team(length: int) -> _Team:
    if length <= _ITEMS * _WARP:
        size = min(_WARP, 1 << max(0, length - 1).bit_length())
    else:
        size = min(_MOST, max(2 * _WARP, 1 << (-(-length // _ITEMS) - 1).bit_length()))
    rows = THREADS // size if size <= _WARP else 1
    return _Team(size, -(-length // size), rows)


def _levels(body: Body) -> list[int]:
    """For each value, how many reductions lie one behind the other before it."""
    found = [0] * body.count
    for node in body.region.nodes:
        found.append(max((found[i] for i in node.inputs), default=0) + node.reduces)
    return found


def _passes(body: Body, keep: bool) -> list[_Pass]:
    """The ways through a row.

    Args:
        body: the region.
        keep: whether values stay from pass to pass.
    """
    levels, region = _levels(body), body.region
    wide = [i for i in range(len(region.outputs)) if body.widely(i)]
    count = max(
        [levels[i] for i in body.reductions] + [levels[region.outputs[i]] + 1 for i in wide]
    )
    found: list[_Pass] = []
    kept = [value for value in range(len(levels)) if value not in body.whole]
    there: set[int] = set()
    for level in range(count):
        reduces = [i for i in body.reductions if levels[i] == level + 1]
        writes = [i for i in wide if levels[region.outputs[i]] == level]
        goals = [region.nodes[i - body.count].inputs[0] for i in reduces]
        goals += [region.outputs[i] for i in writes]
        computes = body.needed(goals, [*kept, *there])
        found.append(_Pass(reduces, writes, computes))
        if keep:
            there.update(computes)
    return found


def _kept_over(body: Body, passes: list[_Pass]) -> list[int]:
    """Values that a pass computes and a later one reads."""
    found: set[int] = set()
    made: set[int] = set()
    for one in passes:
        read = {body.region.nodes[i - body.count].inputs[0] for i in one.reduces}
        read |= {body.region.outputs[i] for i in one.writes}
        for value in one.computes:
            if value >= body.count:
                read |= set(body.region.nodes[value - body.count].inputs)
        found |= read & made
        made.update(one.computes)
    return sorted(found)


def _kernel(body: Body, team: _Team) -> Kernel:
    passes = _passes(body, True)
    stay = _kept_over(body, passes)
    in_registers = team.items <= _ITEMS and team.items * len(stay) <= _REGISTERS
    if not in_registers:
        passes, stay = _passes(body, False), []
    space, index, levels = body.space, body.space.counter, _levels(body)
    lines = [
        f"const unsigned member = threadIdx.x % {team.size};",
        # All threads of a block go through all rows together, because they meet at reductions.
        f"for ({index} first = ({index}){BLOCK} * {team.rows}; first < rows;",
        f"     first += ({index}){BLOCKS} * {team.rows}) {{",
        f"    const {index} row = first + threadIdx.x / {team.size};",
        "    const bool live = row < rows;",
        *[f"    {line}" for line in coordinates("row", space.kept, "k", index)],
    ]
    lines += [f"    {body.type(value)} r{value}[{team.items}];" for value in stay]
    kept = [v for v in _kept_needed(body) if v not in body.reductions]
    lines += _kept_values(body, [v for v in kept if levels[v] == 0])
    for level, one in enumerate(passes):
        lines += _pass(body, team, one, set(stay), in_registers)
        lines += _kept_values(body, [v for v in kept if levels[v] == level + 1])
    narrow = [i for i in range(len(body.region.outputs)) if not body.widely(i)]
    if narrow:
        lines.append("    if (live && member == 0) {")
        lines += [f"        {body.write(i, 'row')}" for i in narrow]
        lines.append("    }")
    lines.append("}")
    head, threads = body.libraries("reduce.cuh"), team.size * team.rows
    parameters, counter = tuple(body.parameters()), (f"{index} rows",)
    return Kernel(head, "", parameters, counter, tuple(lines), threads)


def _kept_needed(body: Body) -> list[int]:
    """Kept values that something depends on."""
    goals = [*body.region.outputs]
    return [value for value in body.needed(goals, ()) if value not in body.whole]


def _kept_values(body: Body, values: list[int]) -> list[str]:
    found = []
    for value in values:
        if value < body.count:
            steps, kind = body.space.inputs[value].kept, body.type(value)
            place = offset(steps, "k", body.space.long)
            # There is nothing behind the last row.
            found.append(f"{kind} v{value} = {kind}();")
            found.append(f"if (live) v{value} = {body.read(value, place)};")
        else:
            found.append(body.statement(value, lambda value: ""))
    return [f"    {line}" for line in found]


def _pass(body: Body, team: _Team, one: _Pass, stay: set[int], in_registers: bool) -> list[str]:
    space, region = body.space, body.region
    lines = [
        f"    {body.type(i)} sum{i} = {nothing(_node(body, i), body.dtypes[i])};"
        for i in one.reduces
    ]
    if in_registers:
        lines += [
            "#pragma unroll",
            f"    for (int item = 0; item < {team.items}; ++item) {{",
            f"        const {space.counter} column = member + item * {team.size};",
            f"        if (live && column < {space.length}u) {{",
        ]
    else:
        lines += [
            f"    for ({space.counter} column = member; column < {space.length}u;",
            f"         column += {team.size}) {{",
            "        if (live) {",
        ]

    def place(value: int) -> str:
        steps = space.inputs[value]
        long = space.long
        return f"{offset(steps.kept, 'k', long)} + {offset(steps.reduced, 'c', long)}"

    inner = [*coordinates("column", space.reduced, "c", space.counter)]
    # What an earlier pass left in registers.
    used = _read(body, one) - set(one.computes)
    inner += [f"const {body.type(i)} v{i} = r{i}[item];" for i in sorted(used & stay)]
    for value in one.computes:
        inner.append(body.statement(value, place))
        if value in stay:
            inner.append(f"r{value}[item] = v{value};")
    for i in one.reduces:
        argument = region.nodes[i - body.count].inputs[0]
        inner.append(f"sum{i} = kb::{_node(body, i)}::of(sum{i}, {body.name(argument)});")
    for output in one.writes:
        whole = f"{offset(space.whole.kept, 'k', space.long)} + "
        whole += offset(space.whole.reduced, "c", space.long)
        inner.append(body.write(output, whole))
    lines += [f"            {line}" for line in inner]
    lines += ["        }", "    }"]
    for i in one.reduces:
        result = f"kb::of_group<kb::{_node(body, i)}, {team.size}>(sum{i})"
        if body.dtypes[i] in HALVES:
            result = f"kb::rounded<{TYPES[body.dtypes[i]]}>({result})"
        lines.append(f"    const {body.type(i)} v{i} = {result};")
    return lines


def _read(body: Body, one: _Pass) -> set[int]:
    """Values that a pass reads, whether it computes them or not."""
    found = {body.region.nodes[i - body.count].inputs[0] for i in one.reduces}
    found |= {body.region.outputs[i] for i in one.writes}
    for value in one.computes:
        if value >= body.count:
            found |= set(body.region.nodes[value - body.count].inputs)
    return found


def _node(body: Body, value: int) -> str:
    return body.region.nodes[value - body.count].name
