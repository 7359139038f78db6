"""The gradient of attention, which never writes the products of queries and keys.

Heads that are one tile are done by one block each, in one launch. Otherwise there are two: a block
of the first one has a tile of queries, goes through the keys, and also hands on each query's
largest product, the sum of its weights and what is subtracted from their cotangents. A block of the
second one has a tile of keys and goes through the queries.

A query's gradient is the sum of weight * (cotangent - average) * key, where the average, of all
cotangents by their weights, is known at the end only. So the sums of weight * cotangent * key and
of weight * key are made side by side, and all keys are read once.
"""

from __future__ import annotations

from kbackend.engine.program import Spec
from kbackend_cupy.codegen.attention_forward import LOWEST, largest
from kbackend_cupy.codegen.attention_parts import (
    DOWN,
    ROOM,
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
    reach,
    rows_of,
    vectors,
    written,
)
from kbackend_cupy.codegen.launch import Launch
from kbackend_cupy.codegen.recurrent_text import at
from kbackend_cupy.codegen.scalar import TYPES, literal

# name -> (position among the step's arrays, spec)
Arrays = dict[str, tuple[int, Spec]]
# A row and a column of a thread.
_ROW, _COLUMN = f"row0 + ty + i * {DOWN}u", "key0 + tx + j * 16u"
# Of the rows of a head: the largest product, 1 / the sum of weights, the average cotangent.
STATISTICS = 3


def _launch(
    what: str,
    form: Form,
    blocks: int,
    arrays: Arrays,
    results: tuple[str, ...],
    sides: dict[str, int],
    areas: dict[str, int],
    lines: list[str],
) -> Launch:
    """The launch of a kernel.

    Args:
        what: its name begins with it.
        form: what is computed.
        blocks: for each head.
        arrays: what it reads and writes.
        results: names of those that it writes.
        sides: rows of the tiles of "q", "g", "k" and "v".
        areas: name -> numbers, of the shared memory.
        lines: what a thread does.
    """
    functions = [fetched(name, arrays[name][1], side) for name, side in sides.items()]
    given = [Array(name, spec, name in results) for name, (_, spec) in arrays.items()]
    made = kernel(form, given, functions, areas, lines)
    places = tuple([place for place, _ in arrays.values()])
    sizes = form.q.shape[3] + form.v.shape[3]
    size = form.images * form.heads * form.queries * form.keys * sizes
    return made.launch(what, blocks * form.heads * form.images, places, (), size)


def _of_bias(arrays: Arrays, query: str, key: str, form: Form) -> list[str]:
    """Lines that write the cotangent of a product, where there is a bias."""
    if "db" not in arrays:
        return []
    spec = arrays["db"][1]
    return [
        f"if ({query} < {form.queries}u && {key} < {form.keys}u)",
        f"    db[{at(spec, 'image', 'head', query, key)}] ="
        f" kb::store<{TYPES[spec.dtype]}>(ds[i][j]);",
    ]


def of_heads(form: Form, arrays: Arrays) -> Launch | None:
    """The launch that does all, if each head is one tile and there is room for it.

    Args:
        form: what is computed.
        arrays: results `dq`, `dk`, `dv`, and `db` of the shape of the products if there is a bias;
            the cotangent `g`, `q`, `k`, `v`, `bias` and `mask`.
    """
    tile = Tile(reach(form.queries), reach(form.keys))
    turned = Tile(tile.columns, tile.rows)
    depth, width = form.q.shape[3], form.v.shape[3]
    areas = {
        "queries": tile.rows * pitch(depth),
        "cotangents": tile.rows * pitch(width),
        "keys": tile.columns * pitch(depth),
        # The weights come where the values were.
        "values": max(
            tile.columns * pitch(width), tile.rows * tile.apart, turned.rows * turned.apart
        ),
    }
    if max(form.queries, form.keys) > 64 or 4 * sum(areas.values()) > ROOM:
        return None
    row = [
        *largest(form, tile, _ROW, _COLUMN, []),
        "float total = 0, average = 0;",
        *columns_of(tile.each, [
            "s[i][j] = kb::exp(s[i][j] - top);",
            "total += s[i][j];",
            "average += s[i][j] * ds[i][j];",
        ]),
        "total = 1 / kb::of_group<kb::reduce_sum, 16>(total);",
        "average = kb::of_group<kb::reduce_sum, 16>(average) * total;",
        # Beyond the queries there are no weights, which would be NaN.
        f"if ({_ROW} >= {form.queries}u) total = average = 0;",
        *columns_of(tile.each, [
            "s[i][j] *= total;",
            "ds[i][j] = seen[j] ? s[i][j] * (ds[i][j] - average) : 0;",
            *_of_bias(arrays, f"({_ROW})", f"({_COLUMN})", form),
            "ds[i][j] *= slope[j];",
        ]),
    ]  # fmt: skip
    scale = literal(form.scale, "float32")

    def result(name: str, of: Tile, factor: str, count: int) -> list[str]:
        return rows_of(of, [
            f"const unsigned row = ty + i * {DOWN}u;",
            f"if (row < {count}u) {written(name, arrays[name][1], 'sum[i]', 'row', factor)}",
        ])  # fmt: skip

    lines = [
        *begin(form, form.queries, tile, areas),
        "const unsigned key0 = 0;",
        "fetch_q(q, queries, image, head, 0);",
        "fetch_g(g, cotangents, image, head, 0);",
        "fetch_k(k, keys, image, head, 0);",
        "fetch_v(v, values, image, head, 0);",
        "__syncthreads();",
        f"float s[{tile.own}][{tile.each}] = {{}}, ds[{tile.own}][{tile.each}] = {{}};",
        f"float largest[{tile.own}];",
        *rows_of(tile, [f"largest[i] = {LOWEST};"]),
        along("s", "queries", "keys", tile, depth),
        along("ds", "cotangents", "values", tile, width),
        *rows_of(tile, row),
        "__syncthreads();",
        "float* const weights = values;",
        *kept(tile, "s[i][j]", True),
        "__syncthreads();",
        "{",
        f"    float sum[{turned.own}][{vectors(width)[0]}] = {{}};",
        f"    {across('sum', 'cotangents', turned, width)}",
        *[f"    {line}" for line in result("dv", turned, "1.f", form.keys)],
        "}",
        "__syncthreads();",
        *kept(tile, "ds[i][j]", True),
        "__syncthreads();",
        "{",
        f"    float sum[{turned.own}][{vectors(depth)[0]}] = {{}};",
        f"    {across('sum', 'queries', turned, depth)}",
        *[f"    {line}" for line in result("dk", turned, scale, form.keys)],
        "}",
        "__syncthreads();",
        *kept(tile, "ds[i][j]"),
        # A row of weights is read by those who wrote it, who are of one warp.
        "__syncwarp();",
        f"float sum[{tile.own}][{vectors(depth)[0]}] = {{}};",
        across("sum", "keys", tile, depth),
        *result("dq", tile, scale, form.queries),
    ]
    sides = dict.fromkeys("qg", tile.rows) | dict.fromkeys("kv", tile.columns)
    return _launch("attention_back", form, 1, arrays, ("dq", "dk", "dv", "db"), sides, areas, lines)


def of_queries(form: Form, arrays: Arrays) -> Launch:
    """The launch whose blocks have tiles of queries.

    Args:
        form: what is computed.
        arrays: results `dq` and `stats` `(STATISTICS, image, head, query)`; `g`, `q`, `k`, `v`,
            `bias` and `mask`.
    """
    tile = chosen(form, form.queries, form.keys, True)
    depth, width = form.q.shape[3], form.v.shape[3]
    sums = vectors(depth)[0]
    areas = {
        "queries": tile.rows * pitch(depth),
        "cotangents": tile.rows * pitch(width),
        "keys": tile.columns * pitch(depth),
        "values": tile.columns * pitch(width),
        "weights": tile.rows * tile.apart,
    }
    scaled = ["total[i] *= factor;", "average[i] *= factor;"]
    scaled += columns_of(sums, ["pulled[i][j] *= factor;", "plain[i][j] *= factor;"])
    row = [
        *largest(form, tile, _ROW, _COLUMN, scaled),
        *columns_of(tile.each, [
            "const float weight = kb::exp(s[i][j] - top), part = weight * ds[i][j];",
            "total[i] += weight;",
            "average[i] += part;",
            "s[i][j] = (seen[j] ? weight : 0) * slope[j];",
            "ds[i][j] = (seen[j] ? part : 0) * slope[j];",
            *(["sees[i] |= seen[j];"] if form.choosy else []),
        ]),
    ]  # fmt: skip
    stats = arrays["stats"][1]
    end = [
        f"const unsigned query = {_ROW};",
        "const float all = 1 / kb::of_group<kb::reduce_sum, 16>(total[i]);",
        "float mean = kb::of_group<kb::reduce_sum, 16>(average[i]) * all;",
    ]
    if form.choosy:
        # What sees nothing has no gradient, whatever its cotangents are.
        end.append("if (!kb::of_group<kb::reduce_max, 16>((int)sees[i])) mean = 0;")
    end += [
        f"if (query < {form.queries}u) {{",
        *[f"    {line}" for line in columns_of(sums, ["pulled[i][j] -= mean * plain[i][j];"])],
        f"    const float factor = all * {literal(form.scale, 'float32')};",
        f"    {written('dq', arrays['dq'][1], 'pulled[i]', 'query', 'factor')}",
        "    if (tx == 0) {",
        *[
            f"        stats[{at(stats, str(n), 'image', 'head', 'query')}] = {value};"
            for n, value in enumerate(("largest[i]", "all", "mean"))
        ],
        "    }",
        "}",
    ]
    own = tile.own
    sees = [f"bool sees[{own}] = {{}};"] if form.choosy else []
    lines = [
        *begin(form, form.queries, tile, areas),
        "fetch_q(q, queries, image, head, row0);",
        "fetch_g(g, cotangents, image, head, row0);",
        f"float pulled[{own}][{sums}] = {{}}, plain[{own}][{sums}] = {{}};",
        f"float largest[{own}], total[{own}] = {{}}, average[{own}] = {{}};",
        *sees,
        *rows_of(tile, [f"largest[i] = {LOWEST};"]),
        "#pragma unroll 1",
        f"for (unsigned key0 = 0; key0 < {form.keys}u; key0 += {tile.columns}u) {{",
        # Whoever is behind still reads the tile before.
        "    __syncthreads();",
        "    fetch_k(k, keys, image, head, key0);",
        "    fetch_v(v, values, image, head, key0);",
        "    __syncthreads();",
        f"    float s[{own}][{tile.each}] = {{}}, ds[{own}][{tile.each}] = {{}};",
        f"    {along('s', 'queries', 'keys', tile, depth)}",
        f"    {along('ds', 'cotangents', 'values', tile, width)}",
        *[f"    {line}" for line in rows_of(tile, row)],
        # A row of weights is read by those who wrote it, who are of one warp.
        *[f"    {line}" for line in kept(tile, "s[i][j]")],
        "    __syncwarp();",
        f"    {across('plain', 'keys', tile, depth)}",
        "    __syncwarp();",
        *[f"    {line}" for line in kept(tile, "ds[i][j]")],
        "    __syncwarp();",
        f"    {across('pulled', 'keys', tile, depth)}",
        "}",
        *rows_of(tile, end),
    ]
    sides = dict.fromkeys("qg", tile.rows) | dict.fromkeys("kv", tile.columns)
    return _launch(
        "attention_queries", form, -(-form.queries // tile.rows), arrays, ("dq", "stats"), sides,
        areas, lines,
    )  # fmt: skip


def of_keys(form: Form, arrays: Arrays) -> Launch:
    """The launch whose blocks have tiles of keys.

    Args:
        form: what is computed.
        arrays: results `dk` and `dv`, and `db` of the shape of the products if there is a bias;
            what `of_queries` hands on; `g`, `q`, `k`, `v`, `bias` and `mask`.
    """
    tile = chosen(form, form.keys, form.queries, True)
    depth, width = form.q.shape[3], form.v.shape[3]
    areas = {
        "keys": tile.rows * pitch(depth),
        "values": tile.rows * pitch(width),
        "queries": tile.columns * pitch(depth),
        "cotangents": tile.columns * pitch(width),
        "weights": tile.rows * tile.apart,
    }
    stats = arrays["stats"][1]
    own, each = tile.own, tile.each
    read = [
        "const unsigned query = query0 + tx + j * 16u;",
        "largest[j] = all[j] = mean[j] = 0;",
        f"if (query < {form.queries}u) {{",
        *[
            f"    {name}[j] = stats[{at(stats, str(n), 'image', 'head', 'query')}];"
            for n, name in enumerate(("largest", "all", "mean"))
        ],
        "}",
    ]
    row = [
        f"bool seen[{each}];",
        f"float slope[{each}];",
        *columns_of(each, [
            f"const float x = {called(form, 's[i][j]', 'query0 + tx + j * 16u', _ROW)};",
            "const float weight = kb::exp(x - largest[j]) * all[j];",
            "s[i][j] = weight;",
            "ds[i][j] = seen[j] ? weight * (ds[i][j] - mean[j]) : 0;",
            *_of_bias(arrays, "(query0 + tx + j * 16u)", f"({_ROW})", form),
            "ds[i][j] *= slope[j];",
        ]),
    ]  # fmt: skip
    lines = [
        *begin(form, form.keys, tile, areas),
        "fetch_k(k, keys, image, head, row0);",
        "fetch_v(v, values, image, head, row0);",
        f"float of_keys[{own}][{vectors(depth)[0]}] = {{}};",
        f"float of_values[{own}][{vectors(width)[0]}] = {{}};",
        "#pragma unroll 1",
        f"for (unsigned query0 = 0; query0 < {form.queries}u; query0 += {tile.columns}u) {{",
        # Whoever is behind still reads the tile before.
        "    __syncthreads();",
        "    fetch_q(q, queries, image, head, query0);",
        "    fetch_g(g, cotangents, image, head, query0);",
        f"    float largest[{each}], all[{each}], mean[{each}];",
        *[f"    {line}" for line in columns_of(each, read)],
        "    __syncthreads();",
        f"    float s[{own}][{each}] = {{}}, ds[{own}][{each}] = {{}};",
        f"    {along('s', 'keys', 'queries', tile, depth)}",
        f"    {along('ds', 'values', 'cotangents', tile, width)}",
        *[f"    {line}" for line in rows_of(tile, row)],
        # A row of weights is read by those who wrote it, who are of one warp.
        *[f"    {line}" for line in kept(tile, "s[i][j]")],
        "    __syncwarp();",
        f"    {across('of_values', 'cotangents', tile, width)}",
        "    __syncwarp();",
        *[f"    {line}" for line in kept(tile, "ds[i][j]")],
        "    __syncwarp();",
        f"    {across('of_keys', 'queries', tile, depth)}",
        "}",
        *rows_of(tile, [
            f"const unsigned key = {_ROW};",
            f"if (key < {form.keys}u) {{",
            f"    {written('dv', arrays['dv'][1], 'of_values[i]', 'key', '1.f')}",
            "    " + written(
                "dk", arrays["dk"][1], "of_keys[i]", "key", literal(form.scale, "float32")
            ),
            "}",
        ]),
    ]  # fmt: skip
    sides = dict.fromkeys("qg", tile.columns) | dict.fromkeys("kv", tile.rows)
    return _launch(
        "attention_keys", form, -(-form.keys // tile.rows), arrays, ("dk", "dv", "db"), sides,
        areas, lines,
    )  # fmt: skip
