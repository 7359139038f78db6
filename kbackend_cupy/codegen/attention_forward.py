"""Attention in one kernel, which never writes the products of queries and keys.

A block has a tile of queries and goes through the keys. It keeps the largest product of a row so
far, and scales what it has added up whenever there is a larger one.

Reference:
    T. Dao, D. Fu, S. Ermon, A. Rudra, C. Ré, "FlashAttention: fast and memory-efficient exact
    attention with IO-awareness", 2022.
"""

from __future__ import annotations

import numpy as np

from kbackend.engine.program import Spec
from kbackend_cupy.codegen.attention_parts import (
    DOWN,
    Array,
    Form,
    Tile,
    across,
    along,
    begin,
    called,
    chosen,
    columns_of,
    fetched,
    kept,
    kernel,
    pitch,
    rows_of,
    vectors,
    written,
)
from kbackend_cupy.codegen.launch import Launch
from kbackend_cupy.codegen.scalar import literal

# What the largest product begins with: less than that of a masked key, and no infinity, from which
# another one could not be subtracted.
LOWEST = literal(np.finfo("float32").min, "float32")


def largest(form: Form, tile: Tile, query: str, key: str, scaled: list[str]) -> list[str]:
    """Lines for row `i`: products become logits, `largest[i]` and what depends on it follow.

    Args:
        form: what is computed.
        tile: of a block.
        query: the row's query.
        key: the key of column `j`.
        scaled: lines that multiply sums so far by `factor`.
    """
    return [
        f"bool seen[{tile.each}];",
        f"float slope[{tile.each}], top = largest[i];",
        *columns_of(tile.each, [
            f"s[i][j] = {called(form, 's[i][j]', query, key)};",
            "top = kb::maximum(top, s[i][j]);",
        ]),
        "top = kb::of_group<kb::reduce_max, 16>(top);",
        "const float factor = kb::exp(largest[i] - top);",
        "largest[i] = top;",
        *scaled,
    ]  # fmt: skip


def forward(form: Form, out: Spec, arrays: tuple[int, ...]) -> Launch:
    """The launch.

    Args:
        form: what is computed.
        out: the result.
        arrays: which of the step's arrays are the result, queries, keys, values, bias and mask.
    """
    tile = chosen(form, form.queries, form.keys, False)
    depth, width = form.q.shape[3], form.v.shape[3]
    sums = vectors(width)[0]
    areas = {
        "queries": tile.rows * pitch(depth),
        "keys": tile.columns * pitch(depth),
        "values": tile.columns * pitch(width),
        "weights": tile.rows * tile.apart,
    }
    softmax = [
        *largest(form, tile, f"row0 + ty + i * {DOWN}u", "key0 + tx + j * 16u", [
            "total[i] *= factor;",
            *columns_of(sums, ["sum[i][j] *= factor;"]),
        ]),
        *columns_of(tile.each, [
            "s[i][j] = kb::exp(s[i][j] - top);",
            "total[i] += s[i][j];",
        ]),
    ]  # fmt: skip
    lines = [
        *begin(form, form.queries, tile, areas),
        "fetch_q(q, queries, image, head, row0);",
        f"float sum[{tile.own}][{sums}] = {{}}, largest[{tile.own}], total[{tile.own}];",
        *rows_of(tile, [f"largest[i] = {LOWEST};", "total[i] = 0;"]),
        "#pragma unroll 1",
        f"for (unsigned key0 = 0; key0 < {form.keys}u; key0 += {tile.columns}u) {{",
        # Whoever is behind still reads the tile before.
        "    __syncthreads();",
        "    fetch_k(k, keys, image, head, key0);",
        "    fetch_v(v, values, image, head, key0);",
        "    __syncthreads();",
        f"    float s[{tile.own}][{tile.each}] = {{}};",
        f"    {along('s', 'queries', 'keys', tile, depth)}",
        *[f"    {line}" for line in rows_of(tile, softmax)],
        *[f"    {line}" for line in kept(tile, "s[i][j]")],
        # A row of weights is read by those who wrote it, who are of one warp.
        "    __syncwarp();",
        f"    {across('sum', 'values', tile, width)}",
        "}",
        *rows_of(tile, [
            f"const unsigned query = row0 + ty + i * {DOWN}u;",
            "const float all = kb::of_group<kb::reduce_sum, 16>(total[i]);",
            f"if (query < {form.queries}u)",
            f"    {written('o', out, 'sum[i]', 'query', '1 / all')}",
        ]),
    ]  # fmt: skip
    given = [
        Array("o", out, True), Array("q", form.q), Array("k", form.k), Array("v", form.v),
        *[Array(name, spec) for name, spec in form.extra.items()],
    ]  # fmt: skip
    functions = [
        fetched("q", form.q, tile.rows),
        fetched("k", form.k, tile.columns),
        fetched("v", form.v, tile.columns),
    ]
    blocks = -(-form.queries // tile.rows) * form.heads * form.images
    size = form.images * form.heads * form.queries * form.keys * (depth + width)
    made = kernel(form, given, functions, areas, lines)
    return made.launch("attention", blocks, arrays, (), size)
