"""The inside of a matrix product: blocks, panels and tiles.

The result is cut into tiles of `rows` by `vectors` vectors, see `Tile` and `Strip`. The columns of
a tile's width are a panel. The second matrix is read panel by panel, each of them as often as there
are tiles in the block of rows. Where it doesn't lie in memory as tiles like to read it, an item
packs a panel into scratch memory right before its use, where it then is in the first cache. Tiles
of the first matrix are packed only where its numbers are far apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.finish import Finish, Part
from kbackend_numba.codegen.pack import Packing, Source, pack
from kbackend_numba.codegen.strip import Strip
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.codegen.vectors import each_vector

# What the call brings: arrays and sizes, in this order.
ARRAYS = ("c", "a", "b", "panels", "tiles")
SIZES = (
    "m",  # rows of the result
    "n",  # columns of the result
    "k",  # summands
    "k_block",  # summands that are added before the next panel
    "k_group",  # summands of a group; each group makes a result of its own
    "tall",  # tiles that are one row higher; they come first
    "tiles",  # tiles below each other
    "tiles_item",  # of these in an item, but for the last below each other, which has all others
    "row_blocks",  # items below each other
    "panels",  # panels side by side
    "panels_item",  # of these in an item
    "outer",  # matrices in the outer dimension of the stack
    "inner",  # and in the inner one
    # Elements to the first matrix, and from one to the next: matrices of the outer and the inner
    # dimension, rows and columns.
    "a", "a_outer", "a_inner", "a_row", "a_column",
    "b", "b_outer", "b_inner", "b_row", "b_column",
    "c", "c_group", "c_outer", "c_inner", "c_row",
    "panel_step",  # from one panel to the next, where they are read
    "panel_row",  # from one row of a panel to the next
    "tile_step",  # from one packed tile of the first matrix to the next
    "add",  # 1 to add to what stands in the result, else 0
)  # fmt: skip


class Form(NamedTuple):
    """What the code of a product depends on.

    Attributes:
        rows: of the tiles, or of the lower ones; the others have one more.
        two_heights: whether there are others.
        vectors: in a row of a tile.
        along: what lies side by side in the first matrix: "rows", "columns" or nothing, "".
        copied: whether the first matrix is packed.
        asking: whether to ask for what comes next of the first matrix.
        packing: what lies side by side in the second matrix, which is packed; `None` if it isn't.
        tail: whether the last panel is not full.
        padded: whether it has numbers there all the same.
        resumes: whether sums may begin with what stands in the result.
        sweeps: whether a tile's neighbours in its row of tiles come next, not those below.
        dtype: of all matrices.
    """

    rows: int
    two_heights: bool
    vectors: int
    along: str
    copied: bool
    asking: bool
    packing: str | None
    tail: bool
    padded: bool
    resumes: bool
    sweeps: bool
    dtype: str


def write_product(code: Code, form: Form, finish: Finish | None = None) -> None:
    """Writes the function that does the items of a product.

    Args:
        code: where to write.
        form: what the code depends on.
        finish: what becomes of the sums.
    """
    _Product(code, form, finish).write()


def tile_width(rows: int, lanes: int) -> int:
    """Numbers for which a packed tile has room in each step, of the first matrix."""
    return -(-rows // lanes) * lanes


# Bytes of a cache line.
_LINE = 64


class _Block(NamedTuple):
    """What is added at a time: `count` products to all tiles of some panels.

    Attributes:
        a: where the first matrix begins.
        c: number of the result's first element.
        count: how many products.
        panel: the first panel.
        panels: behind the last one.
        first: the first tile of each.
        last: behind the last one.
        begun: whether the tiles have sums already.
    """

    a: Address
    c: Value
    count: Value
    panel: Value
    panels: Value
    first: Value
    last: Value
    begun: Value


class _Product:
    def __init__(self, code: Code, form: Form, finish: Finish | None) -> None:
        self.code, self.form, self.finish = code, form, finish
        self.array = {name: code.array(i) for i, name in enumerate(ARRAYS)}
        self.size = {name: code.size(i) for i, name in enumerate(SIZES)}
        self.lanes = code.target.lanes(4 if form.dtype == "float32" else 8)
        self.width = self.lanes * form.vectors
        self.tile_width = tile_width(form.rows + form.two_heights, self.lanes)
        self.strip = Strip(
            code,
            form.rows,
            form.two_heights,
            self.size["tall"],
            form.vectors,
            form.dtype,
            None if form.resumes else self.size["m"],
        )

    def write(self) -> None:
        code, size = self.code, self.size
        across = _ceil(size["panels"], size["panels_item"])
        down = size["row_blocks"]
        with code.loop(code.begin, code.end) as item:
            block, row_block = item // down, item % down
            stack, column_block = block // across, block % across
            inner, rest = stack % size["inner"], stack // size["inner"]
            outer, group = rest % size["outer"], rest // size["outer"]
            begin = group * size["k_group"]
            count = code.minimum(size["k_group"], size["k"] - begin)
            a = self._place("a", outer, inner) + begin * size["a_column"]
            b = self._place("b", outer, inner) + begin * size["b_row"]
            c = self._place("c", outer, inner) + group * size["c_group"]
            panel = column_block * size["panels_item"]
            panels = code.minimum(panel + size["panels_item"], size["panels"])
            first = row_block * size["tiles_item"]
            more = row_block + 1 < down
            last = code.select(more, first + size["tiles_item"], size["tiles"])
            # Nothing to sum up still makes a result.
            with code.loop(0, code.maximum(count, 1), size["k_block"]) as k:
                now = code.minimum(size["k_block"], count - k)
                begun = (k + size["add"]) > 0
                x = self._at("a", a + k * size["a_column"])
                if self.form.copied:
                    x = self._packed_tiles(x, now, first, last)
                block = _Block(x, c, now, panel, panels, first, last, begun)
                if self.form.sweeps:
                    self._sweep(block, b, k)
                else:
                    with code.loop(panel, panels) as p:
                        w, step = self._panel(b, k, now, p, code.number(0))
                        for rows, number, row in self.strip.rows(first, last):
                            self._tile(block, rows, number, row, p * self.width, w, step)
            if self.finish is not None and not self.form.sweeps:
                self._finish(c, panel * self.width, panels * self.width, first, last, self.finish)

    def _sweep(self, block: _Block, b: Value, k: Value) -> None:
        """A block whose panels are there at the same time."""
        code, first, last = self.code, block.panel, block.panels
        # Sums that are made in several goes are complete after the last one.
        complete = k + self.size["k_block"] >= self.size["k_group"]
        if self.form.packing is not None:
            with code.loop(first, last) as p:
                self._panel(b, k, block.count, p, p - first)
        for rows, number, row in self.strip.rows(block.first, block.last):
            with code.loop(first, last) as p:
                if self.form.packing is None:
                    w, step = self._panel(b, k, block.count, p, p - first)
                else:
                    w, step = self._room(p - first), code.number(self.width)
                self._tile(block, rows, number, row, p * self.width, w, step)
            if self.finish is not None:
                with code.when(complete):
                    self._finish_rows(
                        block.c, first * self.width, last * self.width, row, row + rows, self.finish
                    )

    def _room(self, number: Value) -> Address:
        """Where a panel of the thread's is packed."""
        size = self.size
        panels = size["panels_item"] if self.form.sweeps else self.code.number(1)
        return self._at("panels", (self.code.worker * panels + number) * size["panel_step"])

    def _panel(
        self, b: Value, k: Value, count: Value, panel: Value, number: Value
    ) -> tuple[Address, Value]:
        """Where a panel is, and the elements from one of its rows to the next."""
        code, size, packing = self.code, self.size, self.form.packing
        if packing is None:
            place = b + panel * size["panel_step"] + k * size["panel_row"]
            return self._at("b", place), size["panel_row"]
        column = panel * self.width
        # Packed right before its use, it is still in the first cache.
        into = self._room(number)
        source = Source(
            self._at("b", b + k * size["b_row"] + column * size["b_column"]),
            size["b_row"], size["b_column"], count,
            code.minimum(size["n"] - column, code.number(self.width)),
        )  # fmt: skip
        pack(code, Packing(packing, self.width, self.form.dtype), source, into, code.number(0))
        return into, code.number(self.width)

    def _packed_tiles(self, a: Address, count: Value, first: Value, last: Value) -> Address:
        """Packs the tiles of the first matrix; where they are."""
        code, size, form = self.code, self.size, self.form
        width, dtype = self.tile_width, form.dtype
        base = code.worker * ((size["tiles_item"] + 1) * size["tile_step"])
        # The matrix is packed transposed: what lies along its rows lies along columns then.
        along = {"rows": "columns", "columns": "rows", "": ""}[form.along]
        with code.loop(first, last) as tile:
            row = self.strip.start(tile)
            source = Source(
                code.offset(a, row * size["a_row"], dtype), size["a_column"], size["a_row"], count,
                code.minimum(size["m"] - row, code.number(width)),
            )  # fmt: skip
            into = self._at("tiles", base + (tile - first) * size["tile_step"])
            pack(code, Packing(along, width, dtype), source, into, code.number(0))
        return self._at("tiles", base)

    def _place(self, name: str, outer: Value, inner: Value) -> Value:
        size = self.size
        return size[name] + outer * size[f"{name}_outer"] + inner * size[f"{name}_inner"]

    def _masks(self, column: Value) -> list[Value | None]:
        """Which lanes of the vectors from a column on there are."""
        left = self.size["n"] - column
        return [
            self.code.first(left - j * self.lanes, self.lanes) if self.form.tail else None
            for j in range(self.form.vectors)
        ]

    def _finish(
        self, c: Value, start: Value, stop: Value, first: Value, last: Value, finish: Finish
    ) -> None:
        """Does what is to be done to a block's sums, row by row."""
        first, last = self.strip.row(first), self.strip.row(last)
        self._finish_rows(c, start, stop, first, last, finish)

    def _finish_rows(
        self, c: Value, start: Value, stop: Value, first: Value, last: Value, finish: Finish
    ) -> None:
        code, dtype, array = self.code, self.form.dtype, self.array["c"]
        stop = code.minimum(stop, self.size["n"])
        with code.loop(first, last) as row:
            here = c + row * self.size["c_row"]

            def vector(at: Value, mask: Value | None, here: Value = here) -> None:
                part = Part(here + start + at, start + at, mask)
                value = code.load(array, part.at, dtype, self.lanes, mask)
                code.store(finish(value, part), array, part.at, mask)

            each_vector(code, stop - start, self.lanes, vector, even=not self.form.tail)

    def _at(self, name: str, place: Value) -> Address:
        return self.code.offset(self.array[name], place, self.form.dtype)

    def _tile(
        self,
        block: _Block,
        rows: int,
        number: Value,
        row: Value,
        column: Value,
        w: Address,
        w_step: Value,
    ) -> None:
        """Adds a block's products to a tile."""
        code, size, form = self.code, self.size, self.form
        tile, a, count = self.strip.tile(rows), block.a, block.count
        masks = self._masks(column)
        # What is packed has numbers beyond the last column, too.
        reads = masks if form.tail and not form.padded else ()
        y = self._at("c", block.c + row * size["c_row"] + column)
        y_rows = [size["c_row"] * i for i in range(rows)]
        if form.resumes:
            with code.when(block.begun):
                tile.load(y, y_rows, masks)
        if form.copied:
            x = code.offset(a, (number - block.first) * size["tile_step"], form.dtype)
            tile.accumulate(x, range(rows), self.tile_width, w, w_step, count, masks=reads)
        else:
            x = code.offset(a, row * size["a_row"], form.dtype)
            # Steps that are known leave registers to the sums.
            row_step = 1 if form.along == "columns" else size["a_row"]
            x_rows = [row_step * i for i in range(rows)]
            x_step = 1 if form.along == "rows" else size["a_column"]
            coming = self._coming(x, rows)
            tile.accumulate(x, x_rows, x_step, w, w_step, count, beside=coming, masks=reads)
        tile.store(y, y_rows, masks)

    def _coming(self, x: Address, rows: int) -> Callable[[Value], None] | None:
        """What asks for what comes next of the first matrix, a line in each step."""
        code, size, dtype = self.code, self.size, self.form.dtype
        if not self.form.asking:
            return None
        if self.form.along == "columns":
            step = size["a_column"]
            ahead = size["k_block"] * step
            return lambda k: code.prefetch(x, ahead + k * step, dtype)
        if self.form.along == "rows":
            line = _LINE // (4 if dtype == "float32" else 8)
            step = size["a_row"]
            ahead = step * rows
            # Row by row the lines that come after the same number of steps.
            return lambda k: code.prefetch(x, ahead + (k & (line - 1)) * step + (k & -line), dtype)
        return None


def _ceil(a: Value, b: Value) -> Value:
    return (a + b - 1) // b
