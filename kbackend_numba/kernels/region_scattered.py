"""Regions one of whose inputs is rows that are scattered among zeros.

That is the gradient of a table whose rows were looked up, and the region its optimizer's update,
or a sum of its squares. First each row of the table gets a list of the rows that are added to it,
in the order of the indices. Then the region goes through the table row by row: most have no list,
and so zeros for that input, which nobody has to write or read.

Where an index is out of range nothing is written, and an error is raised afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

from kbackend.engine.program import Ints, Prepared, Region, Spec
from kbackend_numba import threads
from kbackend_numba.codegen import reductions
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.nest import ONE, SAME
from kbackend_numba.codegen.value import HALVES, Value
from kbackend_numba.codegen.vectors import each_vector, fill
from kbackend_numba.kernels.copying import copy
from kbackend_numba.kernels.region_body import Body, Given, Operation, body_of, evaluate
from kbackend_numba.kernels.region_elements import cost_of_elements, overwrites
from kbackend_numba.kernels.region_sums import ends
from kbackend_numba.native import Call, Check, native
from kbackend_numpy.kernels.indexing import fault

Specs = tuple[Spec, ...]

_FLOATS = frozenset(("float32", "float64")) | HALVES
# Elements of an item, where there are sums of one, and numbers that are cleared in one.
_ITEM, _GROUP, _CLEARED = 1024, 1 << 15, 1 << 14
# Shorter rows leave too much of a vector unused.
_SHORTEST = 8
# Nanoseconds to put an index on a list, and to clear a number.
_LINK, _CLEAR = 3.0, 0.1


def suits(x: Spec, indices: Specs, axes: Ints) -> bool:
    """Whether there is a kernel for rows of such a table; see `Engine.scatters`."""
    return (
        x.dtype in _FLOATS
        and axes == (0,)
        and indices[0].dtype in ("int32", "int64")
        and prod(x.shape[1:]) >= _SHORTEST
        and x.size > 0
    )


def prepare(
    inputs: Specs, outputs: Specs, *, region: Region, place: int, axes: Ints
) -> Prepared | None:
    """The kernel of a step "scattered"; see `kbackend.engine.program.Step`."""
    *others, rows, index = inputs
    total = Spec(region.shape, rows.dtype)
    body = _body(region, [*others[:place], total, *others[place:]], place)
    if body is None or not suits(total, (index,), axes):
        return None
    height, width = total.shape[0], prod(total.shape[1:])
    made, given = len(outputs), len(outputs) + len(inputs)
    heads, following, note, sum_ = range(given, given + 4)
    scratch = [
        Spec((height,), "int32"), Spec((max(index.size, 1),), "int32"), Spec((1,), "int64"),
        Spec((threads.count(), width), _wide(rows.dtype)),
    ]  # fmt: skip
    calls, found = [], {}
    for name, spec, at in (("rows", rows, given - 2), ("index", index, given - 1)):
        found[name] = at
        if not spec.contiguous:
            found[name] = given + len(scratch)
            made_copy = copy(spec, at, found[name])
            if made_copy is None:
                return None
            calls.append(made_copy)
            scratch.append(spec._replace(strides=None))
    calls += [
        Call(
            function(("clear lists",), _clear), (heads, note), (height,),
            -(-height // _CLEARED), _CLEARED * _CLEAR,
        ),
        Call(
            function(("lists of rows", index.dtype), _lists(index.dtype)),
            (heads, following, note, found["index"]), (index.size, height), 1, index.size * _LINK,
        ),
    ]  # fmt: skip
    # Where the region's arrays are among the step's.
    places = {i: made + i - (i > place) for i in body.arrays if i != place}
    arrays = (*places.values(), found["rows"], heads, following, note, sum_)
    item = max(1, (_GROUP if region.axes else _ITEM) // width)
    groups = -(-height // item)
    cost = item * width * cost_of_elements(body, total.size)
    own = _Own(body, place, made)
    if region.axes:
        partial = range(given + len(scratch), given + len(scratch) + made)
        specs = [Spec((groups, 1), body.operation(v).dtype) for v in body.outputs]
        scratch += specs
        run, arrays = own.sums, (*partial, *arrays)
        last = [ends([body.operation(v) for v in body.outputs], range(made), partial, 1, groups)]
    else:
        run, arrays, last = own.elements, (*range(made), *arrays), []
    key = ("region scattered", bool(region.axes), *body, place)
    calls += [Call(function(key, run), arrays, (height, width, item), groups, cost), *last]

    def look(note: Any, index: Any) -> None:
        error = fault(total.shape, (index,), axes) if note[0] else None
        if error is not None:
            raise error

    pairs = [(i - (i > place), o) for i, o in overwrites(body) if i != place]
    return native(calls, scratch, pairs, Check(look, (note, given - 1)))


def _wide(dtype: str) -> str:
    """What rows are added in."""
    return "float32" if dtype in HALVES else dtype


def _body(region: Region, specs: Sequence[Spec], place: int) -> Body | None:
    """What the region computes, or `None` where another of its inputs is neither one number nor as
    long as the table, or what it reduces takes more than the rows."""
    lies = {place: SAME}
    for i, spec in enumerate(specs):
        if i == place or i in region.known:
            continue
        whole = spec.shape == region.shape and spec.contiguous and not region.axes
        if spec.size != 1 and not whole:
            return None
        lies[i] = SAME if whole else ONE
    body = body_of(region, specs, lies)
    # Reductions are results, and results are nothing else.
    if body is not None and region.axes:
        ends = [i for i, op in enumerate(body.operations, len(body.inputs)) if op.kept]
        if set(ends) != set(body.outputs) or not all(body.operation(i).reduces for i in ends):
            return None
    return body


class _Own(NamedTuple):
    """What is written for a region.

    Attributes:
        body: what it computes.
        place: which of its inputs is the rows.
        made: how many results there are.
    """

    body: Body
    place: int
    made: int

    def elements(self, code: Code) -> None:
        """Writes `results, arrays, rows, heads, following, note, sum`, without reductions. Items
        are rows of the table."""
        body, table = self.body, _Table(code, self)

        def run(row: Value, gradient: _Gradient) -> None:
            places = {
                i: code.offset(address, row * table.width, body.inputs[i].dtype)
                for i, address in table.addresses.items()
            }
            outs = [
                code.offset(code.array(i), row * table.width, body.of(v).dtype)
                for i, v in enumerate(body.outputs)
            ]

            def vector(at: Value, mask: Value | None) -> None:
                found = evaluate(
                    code, body, body.outputs,
                    {**table.fixed, self.place: gradient(at, mask)},
                    lambda i: code.load(places[i], at, body.inputs[i].dtype, table.lanes, mask),
                )  # fmt: skip
                for value, out in zip(found, outs, strict=True):
                    code.store(code.splat(value, table.lanes), out, at, mask)

            each_vector(code, table.width, table.lanes, vector)

        # Rows without a gradient that stay as they are need not be written where they stand.
        idle, moved = code.number(0, "bool"), _moved(body, self.place)
        if moved is not None:
            given, by = moved
            (nothing,) = evaluate(code, body, [by], table.without(), _not_there)
            idle = nothing.equals(0.0) & code.same(code.array(0), table.addresses[given])
        table.each_row(run, idle)

    def sums(self, code: Code) -> None:
        """Writes the same for reductions, with a result for each item. Items are rows."""
        body, table = self.body, _Table(code, self)
        ops = [body.operation(v) for v in body.outputs]
        inputs = [op.inputs[0] for op in ops]

        def zero() -> list[Any]:
            return [code.var(reductions.start(code, o.name, o.dtype, table.lanes)) for o in ops]

        totals, sums = zero(), zero()

        def add(into: Sequence[Any], values: Sequence[Value]) -> None:
            for op, var, value in zip(ops, into, values, strict=True):
                combine = reductions.REDUCTIONS[op.name].combine
                var.set(combine(code, var.value, value))

        def run(row: Value, gradient: _Gradient) -> None:
            def vector(at: Value, mask: Value | None) -> None:
                values = evaluate(
                    code, body, inputs, {**table.fixed, self.place: gradient(at, mask)}, _not_there
                )
                values = [code.splat(value, table.lanes) for value in values]
                add(sums, [reductions.only(code, o.name, v, mask)
                           for o, v in zip(ops, values, strict=True)])  # fmt: skip

            each_vector(code, table.width, table.lanes, vector)
            # Row by row, so that few numbers are added to each sum.
            add(totals, [var.value for var in sums])
            for op, var in zip(ops, sums, strict=True):
                var.set(reductions.start(code, op.name, op.dtype, table.lanes))

        idle = code.number(1, "bool")
        for op, value in zip(
            ops, evaluate(code, body, inputs, table.without(), _not_there), strict=True
        ):
            changes_nothing = reductions.start(code, op.name, op.dtype, 0)
            idle = idle & value.equals(changes_nothing)
        with code.loop(code.begin, code.end) as number:
            for op, var in zip(ops, totals, strict=True):
                var.set(reductions.start(code, op.name, op.dtype, table.lanes))
            table.each_row(run, idle, number)
            for i, (op, var) in enumerate(zip(ops, totals, strict=True)):
                code.store(reductions.across(code, op.name, var.value), code.array(i), number)


# (number of a vector's first element, mask or `None`) -> the sum of the rows there
_Gradient = Callable[[Value, Value | None], Value]


def _not_there(position: int) -> Value:
    raise KeyError(f"Input {position} of the region is not known here.")


class _Table:
    """The table's rows with their lists, in the code.

    Args:
        code: where to write.
        own: the region.

    Attributes:
        width: elements of a row.
        lanes: of a vector.
        addresses: position of an input -> the array, where it is as long as the table.
        fixed: position of an input -> the number, where it is one.
    """

    def __init__(self, code: Code, own: _Own) -> None:
        self._code, body = code, own.body
        arrays = [i for i in body.arrays if i != own.place]
        given = {i: code.array(own.made + n) for n, i in enumerate(arrays)}
        self._height, self.width, self._item = [code.size(i) for i in range(3)]
        self.lanes, self._place = body.lanes(code), own.place
        self._dtype = body.inputs[own.place].dtype
        wide, first = _wide(self._dtype), own.made + len(arrays)
        self._rows, self._heads, self._following, self._note, scratch = [
            code.array(first + i) for i in range(5)
        ]
        self._sum = code.offset(scratch, code.worker * self.width, wide)
        self.addresses: dict[int, Any] = {}
        self.fixed: dict[int, Value] = {}
        for i, one in enumerate(body.inputs):
            if not isinstance(one, Given):
                self.fixed[i] = one.write(code)
            elif i in given and one.lies == ONE:
                self.fixed[i] = code.load(given[i], 0, one.dtype)
            elif i in given:
                self.addresses[i] = given[i]

    def without(self) -> dict[int, Value]:
        """What is known of an element without a gradient."""
        return {**self.fixed, self._place: self._code.number(0, self._dtype)}

    def each_row(
        self, run: Callable[[Value, _Gradient], None], idle: Value, item: Value | None = None
    ) -> None:
        """Runs what is written for a row, with its gradient.

        Args:
            run: called with the number of a row and what loads its gradient.
            idle: whether nothing has to be done for rows that have none.
            item: whose rows; by default those of all items.
        """
        code = self._code
        begin, end = (code.begin, code.end) if item is None else (item, item + 1)
        first, last = begin * self._item, code.minimum(end * self._item, self._height)
        zero = code.number(0, self._dtype, self.lanes)
        fine = code.load(self._note, 0, "int64").equals(0)
        with code.when(fine), code.loop(first, last) as row:
            head = code.load(self._heads, row, "int32").cast("int64")
            with code.either(head < 0) as (alone, listed):
                with alone, code.when(~idle):
                    run(row, lambda at, mask: zero)
                with listed:
                    self._collect(head)
                    run(row, lambda at, mask: self._summed(at, mask).cast(self._dtype))

    def _summed(self, at: Value, mask: Value | None) -> Value:
        return self._code.load(self._sum, at, _wide(self._dtype), self.lanes, mask)

    def _collect(self, head: Value) -> None:
        """Adds up the rows of a list, in their order."""
        code, wide = self._code, _wide(self._dtype)
        zero = code.number(0, wide, self.lanes)
        self._add(head, lambda at, mask: zero)
        number = code.var(code.load(self._following, head, "int32").cast("int64"))
        with code.as_long_as(lambda: number.value >= 0):
            self._add(number.value, self._summed)
            number.set(code.load(self._following, number.value, "int32").cast("int64"))

    def _add(self, number: Value, before: _Gradient) -> None:
        code, wide = self._code, _wide(self._dtype)
        source = code.offset(self._rows, number * self.width, self._dtype)

        def vector(at: Value, mask: Value | None) -> None:
            value = code.load(source, at, self._dtype, self.lanes, mask).cast(wide)
            code.store(before(at, mask) + value, self._sum, at, mask)

        each_vector(code, self.width, self.lanes, vector)


def _moved(body: Body, place: int) -> tuple[int, int] | None:
    """Which input a region does nothing to but add or subtract something, and what.

    It is known whether that is zero for an element without a gradient, if it takes no arrays.
    """
    if len(body.outputs) != 1:
        return None
    op = body.of(_widened(body, body.outputs[0], False))
    if not isinstance(op, Operation) or op.name not in ("add", "sub"):
        return None
    # A sum may have it on either side.
    for position, by in (op.inputs, op.inputs[::-1])[: 2 if op.name == "add" else 1]:
        given = _widened(body, position, True)
        one = body.of(given)
        if not isinstance(one, Given) or one.lies != SAME or given == place:
            continue
        if one.dtype == body.of(body.outputs[0]).dtype and not _arrays_of(body, by) - {place}:
            return given, by
    return None


def _widened(body: Body, position: int, given: bool) -> int:
    """What a value in half precision is before it is rounded, or a given one before it is widened;
    others are that themselves."""
    one = body.of(position)
    if not isinstance(one, Operation) or one.name != "cast":
        return position
    other = body.of(one.inputs[0]).dtype
    half, wide = (other, one.dtype) if given else (one.dtype, other)
    return one.inputs[0] if half in HALVES and wide == "float32" else position


def _arrays_of(body: Body, position: int) -> set[int]:
    """The inputs as long as the table that a value is made of."""
    one = body.of(position)
    if position < len(body.inputs):
        return {position} if isinstance(one, Given) and one.lies == SAME else set()
    return set().union(*[_arrays_of(body, i) for i in body.operation(position).inputs])


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
