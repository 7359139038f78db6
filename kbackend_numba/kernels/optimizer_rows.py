"""Updates of optimizers whose gradient is rows that are scattered among zeros.

That is the gradient of a table whose rows were looked up. First each row of the table gets a list
of the rows that are added to it, in the order of the indices. Then the table is updated row by row:
most have no list, and so a gradient of zeros, which nobody has to write or read.

Where an index is out of range the table stays as it is, and an error is raised afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from kbackend.engine.program import Ints, Prepared, Spec
from kbackend_numba import threads
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.value import Value
from kbackend_numba.codegen.vectors import each_vector, fill
from kbackend_numba.kernels.copying import copy
from kbackend_numba.kernels.optimizer_rules import UPDATES, Update, bits_of, scalars_of, update_of
from kbackend_numba.native import Call, Check, native
from kbackend_numpy.kernels.indexing import fault

Specs = tuple[Spec, ...]

NAMES = frozenset(UPDATES) - {"weight_decay"}
# Elements of an item, and numbers that are cleared in one.
_ITEM, _CLEARED = 1024, 1 << 14
# Shorter rows leave too much of a vector unused.
_SHORTEST = 8
# Nanoseconds to put an index on a list, and to clear a number.
_LINK, _CLEAR = 3.0, 0.1


def prepare(
    inputs: Specs, outputs: Specs, *, op: str, params: dict[str, Any], axes: Ints
) -> Prepared | None:
    """The kernel of a step "scattered"; see `kbackend.engine.program.Step`."""
    update, numbers = update_of(op, params)
    state, rates = inputs[: len(outputs)], inputs[len(outputs) : len(outputs) + update.rates]
    rows, *indices = inputs[len(outputs) + update.rates :]
    p, width = state[0], prod(state[0].shape[1:])
    if p.dtype not in ("float32", "float64") or axes != (0,) or width < _SHORTEST or not p.size:
        return None
    if any(s.dtype != p.dtype or not s.contiguous for s in state):
        return None
    index = indices[0]
    if {rows.dtype, rates[0].dtype} != {p.dtype} or index.dtype not in ("int32", "int64"):
        return None
    made, given = len(outputs), len(outputs) + len(inputs)
    place = {"rows": given - 2, "index": given - 1}
    heads, following, note, sum_ = range(given, given + 4)
    scratch = [
        Spec((p.shape[0],), "int32"), Spec((max(index.size, 1),), "int32"), Spec((1,), "int64"),
        Spec((threads.count(), width), p.dtype),
    ]  # fmt: skip
    calls = []
    for name, spec in (("rows", rows), ("index", index)):
        if not spec.contiguous:
            made_copy = copy(spec, place[name], given + len(scratch))
            if made_copy is None:
                return None
            calls.append(made_copy)
            place[name] = given + len(scratch)
            scratch.append(spec._replace(strides=None))
    calls.append(
        Call(
            function(("clear lists",), _clear), (heads, note), (p.shape[0],),
            -(-p.shape[0] // _CLEARED), _CLEARED * _CLEAR,
        )
    )  # fmt: skip
    calls.append(
        Call(
            function(("lists of rows", index.dtype), _lists(index.dtype)),
            (heads, following, note, place["index"]), (index.size, p.shape[0]), 1,
            index.size * _LINK,
        )
    )  # fmt: skip
    dtypes = tuple([spec.dtype for spec in rates])
    item = max(1, _ITEM // width)
    calls.append(
        Call(
            function(
                ("optimizer rows", update.rule.__name__, made, len(numbers), *dtypes),
                _write(update, made, len(numbers), dtypes),
            ),
            (*range(made), *range(made, given - 2), place["rows"], heads, following, note, sum_),
            (p.shape[0], width, item, *[bits_of(number, p.dtype) for number in numbers]),
            -(-p.shape[0] // item),
            item * width * update.cost * (1 if p.dtype == "float32" else 2),
        )
    )  # fmt: skip

    def look(note: Any, index: Any) -> None:
        error = fault(p.shape, (index,), axes) if note[0] else None
        if error is not None:
            raise error

    check = Check(look, (note, given - 1))
    return native(calls, scratch, [(i, i) for i in range(made)], check)


def _clear(code: Code) -> None:
    """Writes `heads, note`: no row has a list, and nothing was wrong."""
    first = code.begin * _CLEARED
    count = code.minimum(code.end * _CLEARED, code.size(0)) - first
    fill(code, code.offset(code.array(0), first, "int32"), count, code.number(-1, "int32"))
    code.store(code.number(0), code.array(1), 0)


def _lists(dtype: str) -> Callable[[Code], None]:
    """Writes `heads, following, note` from the indices: of each row the first index that names it,
    of each index the next one that names the same row; -1 if there is none."""

    def write(code: Code) -> None:
        heads, following, note, index = [code.array(i) for i in range(4)]
        count, rows = code.size(0), code.size(1)
        with code.loop(0, count) as i:
            # From the last one, so that lists are in order.
            number = count - 1 - i
            row = code.load(index, number, dtype).cast("int64")
            row = code.select(row < 0, row + rows, row)
            wrong = (row < 0) | (row >= rows)
            with code.when(wrong):
                code.store(code.number(1), note, 0)
            row = code.select(wrong, 0, row)
            code.store(code.load(heads, row, "int32"), following, number)
            code.store(number.cast("int32"), heads, row)

    return write


def _write(
    update: Update, made: int, numbers: int, dtypes: tuple[str, ...]
) -> Callable[[Code], None]:
    """Writes `new arrays, arrays, 0-d arguments, rows, heads, following, note, sum`, where the
    arrays don't include the gradient. Items are rows of the table."""
    dtype = dtypes[0]

    def write(code: Code) -> None:
        lanes = code.target.lanes(4 if dtype == "float32" else 8)
        rows, heads, following, note, sum_ = [
            code.array(2 * made + len(dtypes) + i) for i in range(5)
        ]
        count, width, item = [code.size(i) for i in range(3)]
        scalars = scalars_of(code, update, dtypes, 2 * made, 3, numbers)
        sum_ = code.offset(sum_, code.worker * width, dtype)
        zero = code.number(0.0, dtype, lanes)
        first, last = code.begin * item, code.minimum(code.end * item, count)

        def update_row(row: Value, gradient: Callable[[Value, Value | None], Value]) -> None:
            places = [code.offset(code.array(i), row * width, dtype) for i in range(2 * made)]

            def body(at: Value, mask: Value | None) -> None:
                p, *state = [code.load(a, at, dtype, lanes, mask) for a in places[made:]]
                arrays = [p, gradient(at, mask), *state]
                for value, place in zip(update.rule(code, arrays, scalars), places, strict=False):
                    code.store(value, place, at, mask)

            each_vector(code, width, lanes, body)

        def add(number: Value, before: Callable[[Value, Value | None], Value]) -> None:
            source = code.offset(rows, number * width, dtype)

            def body(at: Value, mask: Value | None) -> None:
                value = code.load(source, at, dtype, lanes, mask)
                code.store(before(at, mask) + value, sum_, at, mask)

            each_vector(code, width, lanes, body)

        def summed(at: Value, mask: Value | None) -> Value:
            return code.load(sum_, at, dtype, lanes, mask)

        # Rows without a gradient that stay as they are need not be written where they stand.
        idle = code.number(0, "bool")
        if update.still:
            finite = (scalars[0] - scalars[0]).lane(0).equals(0.0)
            idle = finite & code.same(code.array(0), code.array(made))
        with code.when(code.load(note, 0, "int64").equals(0)), code.loop(first, last) as row:
            head = code.load(heads, row, "int32").cast("int64")
            with code.either(head < 0) as (alone, listed):
                with alone, code.when(~idle):
                    update_row(row, lambda at, mask: zero)
                with listed:
                    add(head, lambda at, mask: zero)
                    number = code.var(code.load(following, head, "int32").cast("int64"))
                    with code.as_long_as(lambda: number.value >= 0):
                        add(number.value, summed)
                        after = code.load(following, number.value, "int32").cast("int64")
                        number.set(after)
                    update_row(row, summed)

    return write
