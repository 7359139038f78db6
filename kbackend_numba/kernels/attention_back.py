"""The code of attention's gradient. Weights are computed again, block by block.

With weights p, cotangents g of the result and products s of queries and keys, ds = p (g v' - d),
where d is the row's sum of p g v'. The gradients are ds k in queries, ds' q in keys and p' g in
values; the last two are added up over the blocks of queries.
"""

from __future__ import annotations

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.pack import Source
from kbackend_numba.codegen.row import Place, Row
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.kernels.attention_parts import (
    DEPTH,
    KEYS,
    SIZES,
    WIDTH,
    Attention,
    Form,
    Visible,
)

ARRAYS = ("dq", "dk", "dv", "g", "q", "k", "v", "mask", "room")
# Besides: where the cotangents are, and scratch memory: for keys and values, transposed and not,
# for the block's queries and cotangents, and for the gradients of the products.
BACK_SIZES = (
    *SIZES, "g_image", "g_row", "g_head", "keys_t", "keys_t_rows", "values_t", "values_t_rows",
    "keys_p", "queries_p", "g_p", "block_rows", "slopes",
)  # fmt: skip


def write_back(code: Code, form: Form) -> None:
    """Writes the function whose items are heads."""
    _Back(code, form, ARRAYS, BACK_SIZES).write()


class _Back(Attention):
    def write(self) -> None:
        code, size = self.code, self.size
        with code.loop(code.begin, code.end) as item:
            image, head = item // size["heads"], item % size["heads"]
            self._pack(image, head)
            with code.loop(0, size["tiles_queries"], size["tiles_block"]) as tile:
                last = code.minimum(tile + size["tiles_block"], size["tiles_queries"])
                self._block(image, head, tile, last)

    def _pack(self, image: Value, head: Value) -> None:
        size, one = self.size, self.code.number(1)
        k, v = self.of_head("k", image, head), self.of_head("v", image, head)
        keys, depth, width = size["keys"], size["depth"], size["width"]
        self.pack(
            "columns", KEYS, Source(k, one, size["k_row"], depth, keys), self.area("keys_t"),
            size["keys_t_rows"],
        )  # fmt: skip
        self.pack(
            "columns", KEYS, Source(v, one, size["v_row"], width, keys), self.area("values_t"),
            size["values_t_rows"],
        )  # fmt: skip
        self.pack(
            "rows", DEPTH, Source(k, size["k_row"], one, keys, depth), self.area("keys_p"), keys
        )

    def _block(self, image: Value, head: Value, first: Value, last: Value) -> None:
        """The queries of the tiles from `first` up to `last`."""
        code, size, dtype = self.code, self.size, self.form.dtype
        one = code.number(1)
        strip = self.strip("queries", KEYS)
        begin, end = strip.row(first), strip.row(last)
        q, g = self.of_head("q", image, head), self.of_head("g", image, head)
        for name, x, columns, count in (
            ("q", q, DEPTH, size["depth"]),
            ("g", g, WIDTH, size["width"]),
        ):
            step = size[f"{name}_row"]
            rows = Source(code.offset(x, begin * step, dtype), step, one, end - begin, count)
            area = self.area("queries_p" if name == "q" else "g_p")
            self.pack("rows", columns, rows, area, size["block_rows"])
        scores, slopes = self.area("scores"), self.area("slopes")
        self.products(
            scores, q, size["q_row"], size["depth"], self.area("keys_t"), size["keys_t_rows"],
            first, last, float(self.form.scale),
        )  # fmt: skip
        self.products(
            slopes, g, size["g_row"], size["width"], self.area("values_t"), size["values_t_rows"],
            first, last, None,
        )  # fmt: skip
        row = Row(code, dtype, size["keys"], self.form.length)
        with code.loop(begin, end) as query:
            self.ask("qkvg", image, head, query)
            at = (query - begin) * size["scores_row"]
            seen = self.visible(row, query, image, head)
            self._slopes(row, code.offset(scores, at, dtype), code.offset(slopes, at, dtype), seen)
        self._queries(image, head, first, last, begin)
        count, fresh = end - begin, first.equals(0)
        self._keys("dk", slopes, DEPTH, "queries_p", size["depth"], image, head, count, fresh)
        self._keys("dv", scores, WIDTH, "g_p", size["width"], image, head, count, fresh)

    def _slopes(self, row: Row, scores: Address, slopes: Address, seen: Visible) -> None:
        """Products become weights, and the weights' cotangents those of the products."""
        code = self.code
        kept, total = self.weights(row, scores, seen)
        inverse = 1.0 / total
        p = row.keep(lambda place: kept(place) * inverse, scores)
        row.put(scores, p)
        (mean,) = row.sums(lambda place: p(place) * row.load(slopes, place))
        scale = float(self.form.scale)

        def slope(place: Place) -> Value:
            found = p(place) * (row.load(slopes, place) - mean) * scale
            where = seen(place)
            zero = code.number(0.0, self.form.dtype, self.lanes)
            return found if where is None else code.select(where, found, zero)

        row.put(slopes, slope)

    def _queries(self, image: Value, head: Value, first: Value, last: Value, begin: Value) -> None:
        """The gradient in the block's queries."""
        code, size, dtype = self.code, self.size, self.form.dtype
        width, slopes = self.panel(DEPTH), self.area("slopes")
        out_row = size["heads"] * size["depth"]
        start = image * size["queries"] * out_row + head * size["depth"]
        with code.loop(0, size["depth"], width) as column:
            w = code.offset(self.area("keys_p"), column * size["keys"], dtype)
            masks = self.masks(DEPTH, column, size["depth"])
            for tile, _, row in self.strip("queries", DEPTH).tiles(first, last):
                x = code.offset(slopes, (row - begin) * size["scores_row"], dtype)
                x_rows = [size["scores_row"] * i for i in range(tile.rows)]
                tile.accumulate(x, x_rows, 1, w, width, size["keys"])
                y = self.at("dq", start + row * out_row + column)
                tile.store(y, [out_row * i for i in range(tile.rows)], masks)

    def _keys(
        self,
        name: str,
        factors: Address,
        columns: int,
        packed: str,
        count: Value,
        image: Value,
        head: Value,
        rows: Value,
        fresh: Value,
    ) -> None:
        """Adds what a block of queries gives to the gradient in keys or in values."""
        code, size, dtype = self.code, self.size, self.form.dtype
        width = self.panel(columns)
        out_row = size["heads"] * count
        start = image * size["keys"] * out_row + head * count
        with code.loop(0, count, width) as column:
            w = code.offset(self.area(packed), column * size["block_rows"], dtype)
            masks = self.masks(columns, column, count)
            for tile, _, key in self.strip("keys", columns).tiles(
                code.number(0), size["tiles_keys"]
            ):
                y = self.at(name, start + key * out_row + column)
                y_rows = [out_row * i for i in range(tile.rows)]
                with code.when(~fresh):
                    tile.load(y, y_rows, masks)
                x = code.offset(factors, key, dtype)
                tile.accumulate(x, list(range(tile.rows)), size["scores_row"], w, width, rows)
                tile.store(y, y_rows, masks)
