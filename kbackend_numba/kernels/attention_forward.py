"""The code of attention: products, their weights and the weighed values, block by block."""

from __future__ import annotations

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.pack import Source
from kbackend_numba.codegen.row import Row
from kbackend_numba.codegen.value import Value
from kbackend_numba.kernels.attention_parts import KEYS, SIZES, WIDTH, Attention, Form

ARRAYS = ("out", "q", "k", "v", "mask", "room")
# Besides: the scratch memory for transposed keys, for values and for the weights' sums.
FORWARD_SIZES = (*SIZES, "tiles_item", "packed_keys", "packed_values", "sums", "keys_rows",
                 "values_rows")  # fmt: skip


def write_forward(code: Code, form: Form) -> None:
    """Writes the function whose items are groups of tiles of queries, head by head."""
    _Forward(code, form, ARRAYS, FORWARD_SIZES).write()


class _Forward(Attention):
    def write(self) -> None:
        code, size = self.code, self.size
        groups = (size["tiles_queries"] + size["tiles_item"] - 1) // size["tiles_item"]
        there = code.var(code.number(-1))
        with code.loop(code.begin, code.end) as item:
            number = item // groups
            image, head = number // size["heads"], number % size["heads"]
            with code.when(there.value.differs(number)):
                self._pack(image, head)
            there.set(number)
            first = item % groups * size["tiles_item"]
            stop = code.minimum(first + size["tiles_item"], size["tiles_queries"])
            with code.loop(first, stop, size["tiles_block"]) as tile:
                last = code.minimum(tile + size["tiles_block"], stop)
                self._block(image, head, tile, last)

    def _pack(self, image: Value, head: Value) -> None:
        size = self.size
        k, v = self.of_head("k", image, head), self.of_head("v", image, head)
        one = self.code.number(1)
        keys = Source(k, one, size["k_row"], size["depth"], size["keys"])
        self.pack("columns", KEYS, keys, self.area("packed_keys"), size["keys_rows"])
        values = Source(v, size["v_row"], one, size["keys"], size["width"])
        self.pack("rows", WIDTH, values, self.area("packed_values"), size["values_rows"])

    def _block(self, image: Value, head: Value, first: Value, last: Value) -> None:
        """The queries of the tiles from `first` up to `last`."""
        code, size, dtype = self.code, self.size, self.form.dtype
        scores, sums = self.area("scores"), self.area("sums")
        q = self.of_head("q", image, head)
        self.products(
            scores, q, size["q_row"], size["depth"], self.area("packed_keys"), size["keys_rows"],
            first, last, float(self.form.scale),
        )  # fmt: skip
        strip = self.strip("queries", WIDTH)
        begin = strip.row(first)
        row = Row(code, dtype, size["keys"], self.form.length)
        with code.loop(begin, strip.row(last)) as query:
            self.ask("qkv", image, head, query)
            here = code.offset(scores, (query - begin) * size["scores_row"], dtype)
            kept, total = self.weights(row, here, self.visible(row, query, image, head))
            row.put(here, kept)
            code.store(1.0 / total, sums, query - begin)
        self._average(image, head, first, last, begin)

    def _average(self, image: Value, head: Value, first: Value, last: Value, begin: Value) -> None:
        """Values times weights, over the sums of weights."""
        code, size, dtype = self.code, self.size, self.form.dtype
        width, scores, sums = self.panel(WIDTH), self.area("scores"), self.area("sums")
        out_row = size["heads"] * size["width"]
        head_start = image * size["queries"] * out_row + head * size["width"]
        with code.loop(0, size["width"], width) as column:
            w = code.offset(self.area("packed_values"), column * size["values_rows"], dtype)
            masks = self.masks(WIDTH, column, size["width"])
            for tile, _, row in self.strip("queries", WIDTH).tiles(first, last):
                x = code.offset(scores, (row - begin) * size["scores_row"], dtype)
                x_rows = [size["scores_row"] * i for i in range(tile.rows)]
                tile.accumulate(x, x_rows, 1, w, width, size["keys"])
                y = self.at("out", head_start + row * out_row + column)

                def share(value: Value, i: int, j: int, row: Value = row) -> Value:
                    return value * code.load(sums, row - begin + i, dtype)

                tile.store(y, [out_row * i for i in range(tile.rows)], masks, share)
