"""Adding up results of which each holds a group of the summands."""

from __future__ import annotations

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.finish import Finish, Part
from kbackend_numba.codegen.value import Value
from kbackend_numba.codegen.vectors import each_vector

# What the call brings: arrays and sizes, in this order.
ARRAYS = ("c", "parts")
SIZES = (
    "n",  # columns of the result
    "m",  # and its rows
    "groups",
    "inner",  # matrices in the inner dimension of the stack
    "group",  # elements from one group's result to the next
    "c", "c_outer", "c_inner", "c_row",  # see `product.SIZES`
    "add",  # 1 to add to what stands in the result, else 0
)  # fmt: skip


def write_sum(code: Code, dtype: str, finish: Finish | None = None) -> None:
    """Writes the function whose items are the rows of all matrices.

    Args:
        code: where to write.
        dtype: of the numbers.
        finish: what becomes of the sums.
    """
    size = {name: code.size(i) for i, name in enumerate(SIZES)}
    c, parts = [code.array(i) for i in range(2)]
    lanes = code.target.lanes(4 if dtype == "float32" else 8)
    with code.loop(code.begin, code.end) as item:
        matrix, row = item // size["m"], item % size["m"]
        outer, inner = matrix // size["inner"], matrix % size["inner"]
        place = size["c"] + outer * size["c_outer"] + inner * size["c_inner"] + row * size["c_row"]

        def add(at: Value, mask: Value | None, place: Value = place, item: Value = item) -> None:
            total = code.var(code.number(0.0, dtype, lanes))
            with code.when(size["add"] > 0):
                total.set(code.load(c, place + at, dtype, lanes, mask))
            with code.loop(0, size["groups"]) as group:
                here = group * size["group"] + item * size["n"] + at
                total.set(total.value + code.load(parts, here, dtype, lanes, mask))
            value = total.value
            if finish is not None:
                value = finish(value, Part(place + at, at, mask))
            code.store(value, c, place + at, mask)

        each_vector(code, size["n"], lanes, add)
