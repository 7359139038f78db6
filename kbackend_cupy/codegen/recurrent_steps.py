"""The two kernels that go through the steps of a recurrent layer, forwards and back.

A step has two halves. In one, threads multiply the state (back: the cotangents of the sums) with
the recurrent weights, each a part of the sums of its unit. In the other, each thread adds up the
parts of a sum for the states that are its own, and computes what the cell does with them.
"""

from __future__ import annotations

from collections.abc import Mapping

from kbackend.engine.program import Spec
from kbackend_cupy.codegen.launch import Launch
from kbackend_cupy.codegen.recurrent_team import Layer, team
from kbackend_cupy.codegen.recurrent_text import (
    Array,
    added_up,
    at,
    held,
    kernel,
    multiply,
    owned,
    shared,
)
from kbackend_cupy.codegen.scalar import TYPES

# name -> (position among the step's arrays, spec)
Arrays = Mapping[str, tuple[int, Spec]]
_STATES = ("h", "c")


def forward(layer: Layer, arrays: Arrays, sequences: bool, backwards: bool) -> Launch:
    """The kernel that goes forwards.

    Args:
        layer: what is computed.
        arrays: results `out` and those of the states, `last_h`, `last_c`; `hidden`, `cells`
            `(time + 1, batch, units)`, `gates` `(time, batch, blocks * units)`, where they are
            kept; arguments: the inputs' part of the sums `x` `(batch, time, blocks * units)`, `r`,
            `b`, `h`, `c`, and `mask`, if there is one.
        sequences: whether `out` has all steps, or the last one.
        backwards: whether the steps go from the last one to the first.
    """
    cell, store = layer.cell, f"kb::store<{TYPES[layer.dtype]}>"
    one = team(layer, cell.blocks, layer.units)
    written = ("out", "last_h", "last_c", "hidden", "cells", "gates")
    specs = {name: spec for name, (_, spec) in arrays.items()}
    kept = [name for name in ("hidden", "cells") if name in arrays]
    column = f"column * {layer.units}u + u"
    weight = f"kb::load<work>(r[{at(specs['r'], 'k', column)}])"
    now = f"{layer.time - 1}u - t" if backwards else "t"
    biases = [f"bias[column] = kb::load<work>(b[{_bias(layer, specs['b'], 0, column)}]);"]
    if cell.two_biases:
        biases.append(
            f"own_bias[column] = kb::load<work>(b[{_bias(layer, specs['b'], 1, column)}]);"
        )
    begin = []
    for name in _STATES[: cell.states]:
        begin.append(f"{name}_[i] = kb::load<work>({name}[{at(specs[name], 'example', 'u')}]);")
    begin += _keep(layer, kept, "example", store)
    begin.append("factors[e][u] = h_[i];")
    fetch = [
        "#pragma unroll",
        f"for (int column = 0; column < {cell.blocks}; ++column)",
        f"    z_[i][column] = x[{at(specs['x'], 'example', now, column)}] + bias[column];",
    ]
    if "mask" in arrays:
        fetch.append(f"go_on[i] = mask[{at(specs['mask'], 'example', now)}];")
    own = "own_bias[column]" if cell.two_biases else ""
    finish = [
        f"work z[{cell.blocks}], s[{cell.blocks}], gate[{max(1, cell.kept)}];",
        "#pragma unroll",
        f"for (int column = 0; column < {cell.blocks}; ++column) {{",
        *[f"    {line}" for line in added_up(one, "column")],
        "    z[column] = z_[i][column];",
        f"    s[column] = total{f' + {own}' if own else ''};",
        "}",
        *[f"const work {name} = {name}_[i];" for name in _STATES[: cell.states]],
        f"work {', '.join(f'next_{name}' for name in _STATES[: cell.states])};",
        *cell.forward,
        *[
            f"{name}_[i] = {'!go_on[i] ? ' + name + ' : ' if 'mask' in arrays else ''}next_{name};"
            for name in _STATES[: cell.states]
        ],
        "factors[e][u] = h_[i];",
        *_keep(layer, kept, f"(t + 1) * {layer.batch}u + example", store),
    ]
    if "gates" in arrays:
        finish += [
            "#pragma unroll",
            f"for (int block = 0; block < {cell.kept}; ++block)",
            f"    gates[((t * {layer.batch}u + example) * {cell.kept} + block) * {layer.units}u"
            f" + u] = {store}(gate[block]);",
        ]
    if sequences:
        finish.append(f"out[(example * {layer.time}u + t) * {layer.units}u + u] = {store}(h_[i]);")
    end = [
        f"last_{name}[example * {layer.units}u + u] = {store}({name}_[i]);"
        for name in _STATES[: cell.states]
    ]
    if not sequences:
        end.append(f"out[example * {layer.units}u + u] = {store}(h_[i]);")
    lines = [
        *shared(one, cell.blocks),
        *held(one, cell.blocks, weight),
        f"work bias[{cell.blocks}] = {{}}{f', own_bias[{cell.blocks}] = {{}}' if own else ''};",
        "#pragma unroll",
        f"for (int column = 0; live && column < {cell.blocks}; ++column) {{",
        *[f"    {line}" for line in biases],
        "}",
        f"work {', '.join(f'{name}_[{one.own}]' for name in _STATES[: cell.states])};",
        f"work z_[{one.own}][{cell.blocks}];",
        *([f"bool go_on[{one.own}];"] if "mask" in arrays else []),
        # Zeros are there before the states.
        "__syncthreads();",
        *owned(layer, one, begin),
        "__syncthreads();",
        f"for (unsigned t = 0; t < {layer.time}u; ++t) {{",
        # What the memory is asked for first is there when the sums are.
        *[f"    {line}" for line in owned(layer, one, fetch)],
        *[f"    {line}" for line in multiply(one, cell.blocks, weight)],
        "    __syncthreads();",
        *[f"    {line}" for line in owned(layer, one, finish)],
        "    __syncthreads();",
        "}",
        *owned(layer, one, end),
    ]
    given = [Array(name, *arrays[name], name in written) for name in arrays]
    return kernel(f"recurrent_{cell.name}", layer, one, given, lines)


def _bias(layer: Layer, b: Spec, row: int, column: str) -> str:
    return at(b, str(row), column) if layer.cell.two_biases else at(b, column)


def _keep(layer: Layer, kept: list[str], row: str, store: str) -> list[str]:
    return [
        f"{name}[({row}) * {layer.units}u + u] = {store}({state}_[i]);"
        for name, state in zip(kept, _STATES, strict=False)
    ]


def back(layer: Layer, arrays: Arrays, sequences: bool, backwards: bool) -> Launch:
    """The kernel that goes back.

    Args:
        layer: what is computed.
        arrays: results: cotangents of the sums, `dz` `(time, batch, sums * units)`; where they are
            wanted, `db`, what each example adds to those of the biases `(batch, sums * units)`,
            and those of the initial states, `dh`, `dc`. Arguments: cotangents `g_out`, `g_h`,
            `g_c`; the recurrent weights with a row for each cotangent `rt`; what was kept, and
            `mask`, if there is one.
        sequences: whether `g_out` has all steps, or the last one.
        backwards: whether the steps went from the last one to the first.
    """
    cell, store = layer.cell, f"kb::store<{TYPES[layer.dtype]}>"
    one = team(layer, 1, len(cell.recurrent) * layer.units)
    specs = {name: spec for name, (_, spec) in arrays.items()}
    units, batch = f"{layer.units}u", f"{layer.batch}u"
    weight = f"kb::load<work>(rt[k * {units} + u])"
    now = f"{layer.time - 1}u - t" if backwards else "t"
    begin = [f"carry_[i] = kb::load<work>(g_h[{at(specs['g_h'], 'example', 'u')}]);"]
    if not sequences:
        begin.append(f"carry_[i] += kb::load<work>(g_out[{at(specs['g_out'], 'example', 'u')}]);")
    if cell.states > 1:
        begin.append(f"dc_[i] = kb::load<work>(g_c[{at(specs['g_c'], 'example', 'u')}]);")
    fetch, looked = [], ("hidden", "cells")[cell.looks_at]
    for name, step in (("before", "t"), ("after", "(t + 1)")):
        place = f"({step} * {batch} + example) * {units} + u"
        fetch.append(f"{name}_[i] = kb::load<work>({looked}[{place}]);")
    if cell.kept:
        fetch += [
            "#pragma unroll",
            f"for (int block = 0; block < {cell.kept}; ++block)",
            f"    gate_[i][block] = kb::load<work>(gates[((t * {batch} + example) * {cell.kept}"
            f" + block) * {units} + u]);",
        ]
    if sequences:
        place = at(specs["g_out"], "example", "t", "u")
        fetch.append(f"come[i] = kb::load<work>(g_out[{place}]);")
    if "mask" in arrays:
        fetch.append(f"go_on[i] = mask[{at(specs['mask'], 'example', now)}];")
    finish = [
        *added_up(one, "0"),
        f"const work dh = carry_[i] + total{' + come[i]' if sequences else ''};",
        "const work before = before_[i], after = after_[i];",
        *([f"const work (&gate)[{cell.kept}] = gate_[i];"] if cell.kept else []),
        f"work carry = dh, d[{cell.sums}] = {{}};",
        *(["work dc = dc_[i];"] if cell.states > 1 else []),
        *(["if (go_on[i]) {"] if "mask" in arrays else ["{"]),
        *[f"    {line}" for line in cell.back],
        "}",
        "carry_[i] = carry;",
        *(["dc_[i] = dc;"] if cell.states > 1 else []),
        "#pragma unroll",
        f"for (int block = 0; block < {cell.sums}; ++block) {{",
        f"    dz[((t * {batch} + example) * {cell.sums} + block) * {units} + u] = d[block];",
        *(["    db_[i][block] += d[block];"] if "db" in arrays else []),
        "}",
        *[
            f"factors[e][{row} * {units} + u] = d[{block}];"
            for row, block in enumerate(cell.recurrent)
        ],
    ]
    end = []
    if "dh" in arrays:
        end += [
            *added_up(one, "0"),
            f"dh[example * {units} + u] = {store}(carry_[i] + total);",
        ]
    if "dc" in arrays:
        end.append(f"dc[example * {units} + u] = {store}(dc_[i]);")
    if "db" in arrays:
        end += [
            "#pragma unroll",
            f"for (int block = 0; block < {cell.sums}; ++block)",
            f"    db[(example * {cell.sums} + block) * {units} + u] = db_[i][block];",
        ]
    states = ["carry_", "before_", "after_", *(["dc_"] if cell.states > 1 else [])]
    states += ["come"] if sequences else []
    lines = [
        *shared(one, 1),
        *held(one, 1, weight),
        f"work {', '.join(f'{name}[{one.own}]' for name in states)};",
        *([f"work gate_[{one.own}][{cell.kept}];"] if cell.kept else []),
        *([f"work db_[{one.own}][{cell.sums}] = {{}};"] if "db" in arrays else []),
        *([f"bool go_on[{one.own}];"] if "mask" in arrays else []),
        "#pragma unroll",
        f"for (int e = 0; e < {one.examples}; ++e) sums[part][0][e][u] = 0;",
        *owned(layer, one, begin),
        "const auto fetch = [&](unsigned t) {",
        *[f"    {line}" for line in owned(layer, one, fetch)],
        "};",
        f"fetch({layer.time - 1}u);",
        "__syncthreads();",
        f"for (unsigned t = {layer.time}u; t-- > 0;) {{",
        *[f"    {line}" for line in owned(layer, one, finish)],
        "    __syncthreads();",
        # What the memory is asked for now is there when the sums are.
        "    if (t > 0) fetch(t - 1);",
        *[f"    {line}" for line in multiply(one, 1, weight)],
        "    __syncthreads();",
        "}",
        *owned(layer, one, end),
    ]
    written = ("dz", "db", "dh", "dc")
    given = [Array(name, *arrays[name], name in written) for name in arrays]
    return kernel(f"recurrent_{cell.name}_back", layer, one, given, lines)
