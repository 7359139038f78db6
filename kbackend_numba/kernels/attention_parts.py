"""What the compiled attention and its gradient have in common: the arrays of a head, its weights.

A head is that of one image: its queries, keys and values are rows of arrays that are laid out
`(image, row, head, element)`. For a block of queries all products with keys are in scratch memory
of the thread at a time, so that nothing of the size of queries x keys is ever written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.math import exp_of_negative
from kbackend_numba.codegen.pack import Packing, Source, pack
from kbackend_numba.codegen.row import Length, Place, Row, Term
from kbackend_numba.codegen.strip import Strip
from kbackend_numba.codegen.value import Address, Value

# Bytes of a cache line.
_LINE = 64
# What a masked product becomes: far below all others, yet finite.
FLOOR = {"float32": -2.38e38, "float64": -1.25e308}


class Form(NamedTuple):
    """What the code depends on.

    Attributes:
        dtype: of all arrays but the mask.
        scale: factor of the products, as Python writes it.
        causal: whether a query sees no later keys.
        mask: how a mask lies along the keys: "" there is none, "row" side by side, "one" the same
            for all.
        whole: whether all queries of a head are one block: then sums are made in one go, and tiles
            may overlap.
        queries: rows of the lower tiles of queries, and whether there are two heights.
        keys: the same of keys.
        length: what is known of the number of keys.
        vectors: of tiles whose columns are keys, elements of queries, elements of values.
        tails: whether the last panels of elements of queries and of values are not full.
    """

    dtype: str
    scale: str
    causal: bool
    mask: str
    whole: bool
    queries: tuple[int, bool]
    keys: tuple[int, bool]
    length: Length
    vectors: tuple[int, int, int]
    tails: tuple[bool, bool]


# What the call is told first; the rest is up to each kernel. Strides are those of images, rows and
# heads; the mask's are those of images, heads and queries.
SIZES = (
    "heads", "queries", "keys", "depth", "width",
    "tall_queries", "tiles_queries", "tiles_block", "tall_keys", "tiles_keys",
    "q_image", "q_row", "q_head", "k_image", "k_row", "k_head", "v_image", "v_row", "v_head",
    "mask_image", "mask_head", "mask_row",
    "room", "scores", "scores_row",
)  # fmt: skip
KEYS, DEPTH, WIDTH = range(3)

# Which elements of a row of keys a query sees; `None`: all.
Visible = Callable[[Place], Value | None]


class Attention:
    """A kernel that is being written.

    Args:
        code: where to write.
        form: what it depends on.
        arrays: names of its arrays, in their order; those of `q`, `k`, `v`, `mask` and `room` are
            used here.
        sizes: names of the integers that it is told, in their order, beginning with `SIZES`.

    Attributes:
        array: name -> address.
        size: name -> integer.
        lanes: numbers in a vector.
        queries: the tiles of queries, by the vectors of their columns.
        keys: the same of keys.
    """

    def __init__(self, code: Code, form: Form, arrays: Sequence[str], sizes: Sequence[str]) -> None:
        self.code, self.form = code, form
        self.array = {name: code.array(i) for i, name in enumerate(arrays)}
        self.size = {name: code.size(i) for i, name in enumerate(sizes)}
        self.lanes = code.target.lanes(4 if form.dtype == "float32" else 8)

    def strip(self, rows: str, columns: int) -> Strip:
        """The tiles of "queries" or "keys" whose columns are `KEYS`, `DEPTH` or `WIDTH`."""
        height, two = self.form.queries if rows == "queries" else self.form.keys
        tall, vectors = self.size[f"tall_{rows}"], self.form.vectors[columns]
        count = self.size[rows] if self.form.whole else None
        return Strip(self.code, height, two, tall, vectors, self.form.dtype, count)

    def panel(self, columns: int) -> int:
        """Columns of a panel."""
        return self.form.vectors[columns] * self.lanes

    def at(self, name: str, place: Value | int) -> Address:
        """An element of an array."""
        return self.code.offset(self.array[name], place, self.form.dtype)

    def area(self, name: str) -> Address:
        """Scratch memory of the thread, which begins at the integer `name`."""
        return self.at("room", self.code.worker * self.size["room"] + self.size[name])

    def of_head(self, name: str, image: Value, head: Value) -> Address:
        """Where a head's rows of `q`, `k` or `v` begin."""
        size = self.size
        return self.at(name, image * size[f"{name}_image"] + head * size[f"{name}_head"])

    def ask(self, names: str, image: Value, head: Value, row: Value) -> None:
        """Asks for a row of the next head in arrays."""
        code, size = self.code, self.size
        beyond = head + 1 >= size["heads"]
        image, head = image + beyond.cast("int64"), code.select(beyond, 0, head + 1)
        line = _LINE // (4 if self.form.dtype == "float32" else 8)
        with code.loop(0, size["depth"], line) as at:
            for name in names:
                place = row * size[f"{name}_row"] + at
                code.prefetch(self.of_head(name, image, head), place, self.form.dtype)

    def pack(self, along: str, columns: int, source: Source, into: Address, rows: Value) -> None:
        """Packs a matrix into panels of so many rows."""
        width = self.panel(columns)
        pack(self.code, Packing(along, width, self.form.dtype), source, into, rows * width)

    def masks(self, columns: int, column: Value, count: Value) -> list[Value | None]:
        """Which lanes of the vectors of a panel of `DEPTH` or `WIDTH` there are."""
        vectors = self.form.vectors[columns]
        if not self.form.tails[columns - 1]:
            return [None] * vectors
        left = count - column
        return [self.code.first(left - j * self.lanes, self.lanes) for j in range(vectors)]

    # ----- the products of queries with keys -----

    def products(
        self,
        into: Address,
        x: Address,
        x_row: Value,
        count: Value,
        panels: Address,
        depth: Value,
        first: Value,
        last: Value,
        scale: float | None,
    ) -> None:
        """Writes the products of rows with all keys, of the tiles from `first` up to `last`.

        Args:
            into: where to; the block's first row.
            x: the rows, from the head's first one on.
            x_row: elements from one to the next.
            count: elements of a row.
            panels: the transposed keys, or values, as panels.
            depth: rows of these.
            first: the first tile of the block.
            last: behind its last tile.
            scale: factor of the products.
        """
        code, size, width = self.code, self.size, self.panel(KEYS)
        strip = self.strip("queries", KEYS)
        begin = strip.row(first)
        last_step = None if scale is None else (lambda value, i, j: value * scale)
        with code.loop(0, size["keys"], width) as key:
            w = code.offset(panels, key * depth, self.form.dtype)
            for tile, _, row in strip.tiles(first, last):
                rows = code.offset(x, row * x_row, self.form.dtype)
                tile.accumulate(rows, [x_row * i for i in range(tile.rows)], 1, w, width, count)
                y = code.offset(into, (row - begin) * size["scores_row"] + key, self.form.dtype)
                y_rows = [size["scores_row"] * i for i in range(tile.rows)]
                tile.store(y, y_rows, [None] * tile.vectors, last_step)

    def visible(self, row: Row, query: Value, image: Value, head: Value) -> Visible:
        """Which keys a query sees."""
        code, size, form = self.code, self.size, self.form
        start = image * size["mask_image"] + head * size["mask_head"] + query * size["mask_row"]

        def seen(place: Place) -> Value | None:
            found = None
            if form.mask == "row":
                found = code.load(
                    self.array["mask"], start + place.at, "bool", self.lanes, place.mask
                )
            elif form.mask:
                one = code.load(self.array["mask"], start, "bool")
                found = code.splat(one, self.lanes)
            if form.causal:
                past = code.first(query + 1 - place.at, self.lanes)
                found = past if found is None else found & past
            return found

        return seen

    def weights(self, row: Row, scores: Address, seen: Visible) -> tuple[Term, Value]:
        """exp(product - the largest one) of a row, and their sum."""
        code, floor = self.code, FLOOR[self.form.dtype]

        def logit(place: Place) -> Value:
            value, where = row.load(scores, place), seen(place)
            if where is None:
                return value
            return code.select(where, value, code.number(floor, self.form.dtype, self.lanes))

        largest = row.largest(logit)
        kept = row.keep(lambda place: exp_of_negative(code, logit(place) - largest), scores)
        (total,) = row.sums(kept)
        return kept, total
