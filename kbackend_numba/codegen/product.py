"""The inside of a matrix product: blocks, panels and tiles.

The result is cut into tiles of `rows` by `vectors` vectors, see `Tile`; one below the other tiles
have two heights, `rows + 1` and `rows`, so that any number of rows is made up of them. The columns
of a tile's width are a panel. The second matrix is read panel by panel, each of them as often as
there are tiles in the block of rows. Where it doesn't lie in memory as tiles like to read it, an
item first packs the panels of its block into scratch memory.
"""

from __future__ import annotations

from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.pack import Packing, Source, pack
from kbackend_numba.codegen.summing import BIAS, RESULT
from kbackend_numba.codegen.tile import Tile
from kbackend_numba.codegen.value import Address, Value

# What the call brings: arrays and sizes, in this order.
ARRAYS = ("c", "a", "b", "bias", "panels")
SIZES = (
    "n",  # columns of the result
    "k",  # summands
    "k_block",  # summands that are added before the next panel
    "k_group",  # summands of a group; each group makes a result of its own
    "tall",  # tiles that are one row higher; they come first
    "tiles",  # tiles below each other
    "tiles_item",  # of these in an item
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
    "bias",  # to the first number of the bias
    "begin_with",  # what sums begin with: 0, 1 for the bias, 2 for what stands in the result
)  # fmt: skip


class Form(NamedTuple):
    """What the code of a product depends on.

    Attributes:
        rows: of the lower tiles; all others have one more.
        two_heights: whether there are others.
        vectors: in a row of a tile.
        along: what lies side by side in the first matrix: "rows", "columns" or nothing, "".
        packing: what lies side by side in the second matrix, which is packed; `None` if it isn't.
        tail: whether the last panel is not full.
        dtype: of all matrices.
    """

    rows: int
    two_heights: bool
    vectors: int
    along: str
    packing: str | None
    tail: bool
    dtype: str


def write_product(code: Code, form: Form) -> None:
    """Writes the function that does the items of a product."""
    _Product(code, form).write()


class _Product:
    def __init__(self, code: Code, form: Form) -> None:
        self.code, self.form = code, form
        self.array = {name: code.array(i) for i, name in enumerate(ARRAYS)}
        self.size = {name: code.size(i) for i, name in enumerate(SIZES)}
        self.lanes = code.target.lanes(4 if form.dtype == "float32" else 8)
        self.width = self.lanes * form.vectors

    def write(self) -> None:
        code, size, dtype = self.code, self.size, self.form.dtype
        across = _ceil(size["panels"], size["panels_item"])
        down = _ceil(size["tiles"], size["tiles_item"])
        # The block of columns whose panels are there already.
        packed = code.var(code.number(-1))
        with code.loop(code.begin, code.end) as item:
            block, row_block = item // down, item % down
            stack, column_block = block // across, block % across
            inner, rest = stack % size["inner"], stack // size["inner"]
            outer, group = rest % size["outer"], rest // size["outer"]
            begin = group * size["k_group"]
            count = code.minimum(size["k_group"], size["k"] - begin)
            a = self._matrix("a", outer, inner, begin * size["a_column"])
            b = self._matrix("b", outer, inner, begin * size["b_row"])
            c = self._matrix("c", outer, inner, group * size["c_group"])
            panel = column_block * size["panels_item"]
            panels = code.minimum(size["panels_item"], size["panels"] - panel)
            first = row_block * size["tiles_item"]
            last = code.minimum(first + size["tiles_item"], size["tiles"])
            # Nothing to sum up still makes a result.
            with code.loop(0, code.maximum(count, 1), size["k_block"]) as k:
                now = code.minimum(size["k_block"], count - k)
                x = code.offset(a, k * size["a_column"], dtype)
                if self.form.packing is None:
                    place = panel * size["panel_step"] + k * size["panel_row"]
                    w = code.offset(b, place, dtype)
                else:
                    w = self._worker_panels()
                    key = block * size["k"] + k
                    with code.when(packed.value.differs(key)):
                        column = panel * self.width
                        here = code.offset(b, k * size["b_row"] + column * size["b_column"], dtype)
                        columns = code.minimum(size["n"] - column, panels * self.width)
                        source = Source(here, size["b_row"], size["b_column"], now, columns)
                        packing = Packing(self.form.packing, self.width, dtype)
                        pack(code, packing, source, w, size["panel_step"])
                    packed.set(key)
                begin_with = code.select(k > 0, RESULT, size["begin_with"])
                self._block(x, w, c, now, panel, panels, first, last, begin_with)

    def _worker_panels(self) -> Address:
        room = self.size["panels_item"] * self.size["panel_step"]
        return self.code.offset(self.array["panels"], self.code.worker * room, self.form.dtype)

    def _matrix(self, name: str, outer: Value, inner: Value, more: Value) -> Address:
        size = self.size
        place = size[name] + outer * size[f"{name}_outer"] + inner * size[f"{name}_inner"] + more
        return self.code.offset(self.array[name], place, self.form.dtype)

    def _block(
        self,
        a: Address,
        b: Address,
        c: Address,
        count: Value,
        panel: Value,
        panels: Value,
        first: Value,
        last: Value,
        begin_with: Value,
    ) -> None:
        """Adds `count` products in `panels` panels, the tiles from `first` up to `last`."""
        code, size, form = self.code, self.size, self.form
        tall = size["tall"]
        with code.loop(0, panels) as p:
            w = code.offset(b, p * size["panel_step"], form.dtype)
            column = (panel + p) * self.width
            heights = [(form.rows, code.maximum(first, tall), last)]
            if form.two_heights:
                heights.insert(0, (form.rows + 1, first, code.minimum(last, tall)))
            for rows, start, stop in heights:
                with code.loop(start, stop) as tile:
                    row = tile * form.rows + code.minimum(tile, tall)
                    self._tile(rows, row, column, a, w, c, count, begin_with)

    def _tile(
        self,
        rows: int,
        row: Value,
        column: Value,
        a: Address,
        w: Address,
        c: Address,
        count: Value,
        begin_with: Value,
    ) -> None:
        code, size, form = self.code, self.size, self.form
        tile = Tile(code, rows, form.vectors, form.dtype)
        masks: list[Value | None] = [None] * form.vectors
        if form.tail:
            masks = [
                code.first(size["n"] - column - j * self.lanes, self.lanes)
                for j in range(form.vectors)
            ]
        y = code.offset(c, row * size["c_row"] + column, form.dtype)
        y_rows = [size["c_row"] * i for i in range(rows)]
        with code.when(begin_with.equals(RESULT)):
            tile.load(y, y_rows, masks)
        with code.when(begin_with.equals(BIAS)):
            vector = code.offset(self.array["bias"], size["bias"] + column, form.dtype)
            tile.load(vector, [0] * rows, masks)
        x = code.offset(a, row * size["a_row"], form.dtype)
        # Steps that are known leave registers to the sums.
        row_step = 1 if form.along == "columns" else size["a_row"]
        x_rows = [row_step * i for i in range(rows)]
        x_step = 1 if form.along == "rows" else size["a_column"]
        tile.accumulate(x, x_rows, x_step, w, size["panel_row"], count)
        tile.store(y, y_rows, masks)


def _ceil(a: Value, b: Value) -> Value:
    return (a + b - 1) // b
