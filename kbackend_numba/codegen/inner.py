"""Few rows times a matrix whose columns lie in one piece each: inner products, without packing."""

from __future__ import annotations

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.finish import Finish, Part
from kbackend_numba.codegen.value import Address, Value
from kbackend_numba.codegen.vectors import each_vector

# What the call brings: arrays and sizes, in this order. See `product.SIZES`.
ARRAYS = ("c", "a", "b")
SIZES = (
    "n", "k", "columns_item", "outer", "inner",
    "a", "a_outer", "a_inner", "a_row",
    "b", "b_outer", "b_inner", "b_column",
    "c", "c_outer", "c_inner", "c_row",
    "add",
)  # fmt: skip
# Columns that are done at once.
_COLUMNS = 8


def write_inner(code: Code, rows: int, dtype: str, finish: Finish | None = None) -> None:
    """Writes the function whose items are blocks of columns.

    Args:
        code: where to write.
        rows: of the first matrices and of the results.
        dtype: of all matrices.
        finish: what becomes of the sums.
    """
    _Inner(code, rows, dtype).write(finish)


class _Inner:
    def __init__(self, code: Code, rows: int, dtype: str) -> None:
        self.code, self.rows, self.dtype = code, rows, dtype
        self.array = {name: code.array(i) for i, name in enumerate(ARRAYS)}
        self.size = {name: code.size(i) for i, name in enumerate(SIZES)}
        self.lanes = code.target.lanes(4 if dtype == "float32" else 8)
        # As many as leave registers to the numbers of a column and of the rows.
        free = code.target.registers - rows - 2
        self.columns = max(1, min(_COLUMNS, free // rows))

    def write(self, finish: Finish | None) -> None:
        code, size = self.code, self.size
        blocks = (size["n"] + size["columns_item"] - 1) // size["columns_item"]
        with code.loop(code.begin, code.end) as item:
            matrix, block = item // blocks, item % blocks
            outer, inner = matrix // size["inner"], matrix % size["inner"]
            a, b, c = [
                size[name] + outer * size[f"{name}_outer"] + inner * size[f"{name}_inner"]
                for name in "abc"
            ]
            start = block * size["columns_item"]
            stop = code.minimum(start + size["columns_item"], size["n"])
            with code.when(size["add"].equals(0)):
                zero = code.number(0.0, self.dtype, self.lanes)
                self._each(c, start, stop, lambda value, part: zero)
            whole = stop - (stop - start) % self.columns
            x = code.offset(self.array["a"], a, self.dtype)
            with code.loop(start, whole, self.columns) as column:
                self._columns(x, b, c, column, self.columns)
            with code.loop(whole, stop) as column:
                self._columns(x, b, c, column, 1)
            if finish is not None:
                self._each(c, start, stop, finish)

    def _each(self, c: Value, start: Value, stop: Value, body: Finish) -> None:
        """Writes what `body` makes of the results."""
        code, array, dtype = self.code, self.array["c"], self.dtype
        for row in range(self.rows):
            here = c + self.size["c_row"] * row + start

            def vector(at: Value, mask: Value | None, here: Value = here) -> None:
                value = code.load(array, here + at, dtype, self.lanes, mask)
                part = Part(here + at, start + at, mask)
                code.store(body(value, part), array, part.at, mask)

            each_vector(code, stop - start, self.lanes, vector)

    def _columns(self, x: Address, b: Value, c: Value, column: Value, columns: int) -> None:
        """Adds the inner products of all rows with some columns to what stands in the result."""
        code, size, dtype = self.code, self.size, self.dtype
        w = code.offset(self.array["b"], b + column * size["b_column"], dtype)
        zero = code.number(0.0, dtype, self.lanes)
        sums = [[code.var(zero) for _ in range(columns)] for _ in range(self.rows)]

        def add(at: Value, mask: Value | None) -> None:
            numbers = [
                code.load(x, size["a_row"] * row + at, dtype, self.lanes, mask)
                for row in range(self.rows)
            ]
            for j in range(columns):
                other = code.load(w, size["b_column"] * j + at, dtype, self.lanes, mask)
                for row, number in zip(sums, numbers, strict=True):
                    row[j].set(code.fma(number, other, row[j].value))

        each_vector(code, size["k"], self.lanes, add)
        for i, row in enumerate(sums):
            for j, total in enumerate(row):
                place = c + size["c_row"] * i + column + j
                before = code.load(self.array["c"], place, dtype)
                code.store(before + code.sum(total.value), self.array["c"], place)
