"""Fused regions, and single elementwise operations, as one compiled loop nest."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from kbackend.engine.program import Ints, Node, Prepared, Region, Spec
from kbackend.engine.strides import (
    broadcast_strides,
    contiguous_strides,
    merge,
    merged_shape,
    merged_strides,
)
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.elementwise import OPERATIONS, operation
from kbackend_numba.codegen.nest import ONE, ROW, SAME, STEPS, Span, rows, spans
from kbackend_numba.codegen.value import DTYPES, Type, Value
from kbackend_numba.kernels.copying import copy
from kbackend_numba.native import Call, Prepare, native

Params = tuple[tuple[str, Any], ...]


class Given(NamedTuple):
    """An input as the code sees it.

    Attributes:
        dtype: of its elements.
        lies: how they lie; see `codegen.nest`.
    """

    dtype: str
    lies: str


class Literal(NamedTuple):
    """A number that is known when the code is written.

    Attributes:
        dtype: its dtype.
        text: how Python writes it; NaN would not be equal to itself.
    """

    dtype: str
    text: str

    def write(self, code: Code, lanes: int) -> Value:
        """The number in the code."""
        kind: Any = {"bool": _truth}.get(self.dtype, int)
        return code.number(
            (float if Type(self.dtype).floating else kind)(self.text), self.dtype, lanes
        )


def _truth(text: str) -> bool:
    return text == "True"


class Operation(NamedTuple):
    """An operation of a region as the code sees it.

    Attributes:
        name: of the primitive or composite.
        inputs: positions among inputs and earlier operations.
        dtype: of its result.
        params: those that change what is written.
    """

    name: str
    inputs: Ints
    dtype: str
    params: Params

    def write(self, code: Code, values: list[Value]) -> Value:
        """Its result."""
        params = dict(self.params)
        if self.name in ("cast", "bitcast"):
            params = {"dtype": self.dtype}
        return OPERATIONS[self.name].write(code, *[values[i] for i in self.inputs], **params)


class Body(NamedTuple):
    """All that the code of a region depends on.

    Attributes:
        inputs: arrays and literals, in their order.
        operations: each after those that it needs.
        outputs: positions among inputs and operations.
        rank: how many loops there are.
        long: whether rows are long enough to be cut.
    """

    inputs: tuple[Given | Literal, ...]
    operations: tuple[Operation, ...]
    outputs: Ints
    rank: int
    long: bool

    @property
    def arrays(self) -> list[int]:
        """Positions of the inputs that are arrays."""
        return [i for i, given in enumerate(self.inputs) if isinstance(given, Given)]

    @property
    def cost(self) -> float:
        """Nanoseconds for a float32 element, roughly."""
        return sum(OPERATIONS[op.name].cost for op in self.operations)

    def lanes(self, code: Code) -> int:
        """Elements of a vector: as many as of the widest dtype fill one register."""
        dtypes = [one.dtype for one in (*self.inputs, *self.operations)]
        return code.target.lanes(max(Type(dtype).bits // 8 for dtype in dtypes))


# Elements of a block, where rows are cut.
_BLOCK = 2048
# Rows from this length on are cut, so that threads can share few of them.
_LONG = 16 * _BLOCK
# From this cost on a body is written only once.
_HEAVY = 0.3
# Nanoseconds to read or write a byte that is in a near cache, or not.
_NEAR, _FAR = 0.011, 0.033
# Bytes that fit in one.
_CACHE = 1 << 20
# Nanoseconds to begin a row.
_PER_ROW = 4.0


def prepare(region: Region, inputs: tuple[Spec, ...]) -> Prepared | None:
    """A kernel for a region, or `None` if one of its operations can't be written.

    Args:
        region: what to compute.
        inputs: specs of its inputs with their strides.
    """
    operations = _operations(region, inputs)
    if operations is None or region.axes:
        return None
    if not prod(region.shape):
        return native(())
    domain = region.shape or (1,)
    strides = {
        i: broadcast_strides(spec, domain) for i, spec in enumerate(inputs) if i not in region.known
    }
    groups = merge(domain, list(strides.values()))
    shape = merged_shape(domain, len(domain), groups)
    steps = {i: merged_strides(domain, s, groups) for i, s in strides.items()}
    own = contiguous_strides(shape)
    length, rank = shape[-1], len(shape)
    long = rank == 1 or length >= _LONG
    given: list[Given | Literal] = []
    sizes = [*shape, _BLOCK]
    for i, spec in enumerate(inputs):
        if i in region.known:
            given.append(Literal(spec.dtype, repr(region.known[i])))
            continue
        lies = _lies(shape, steps[i], own)
        given.append(Given(spec.dtype, lies))
        if lies != SAME:
            sizes += steps[i][:-1] if lies != STEPS else steps[i]
    body = Body(tuple(given), operations, region.outputs, rank, long)
    count = len(region.outputs)
    arrays = (*range(count), *[count + i for i in body.arrays])
    blocks = -(-length // _BLOCK) if long else 1
    run = function(("region", *body), lambda code: _write(code, body))
    moved: float = sum(Type(inputs[i].dtype).bits // 8 for i in body.arrays if _whole(given[i]))
    moved += sum(Type(_dtype(body, i)).bits // 8 for i in body.outputs)
    moved *= _NEAR if moved * prod(shape) <= _CACHE else _FAR
    cost = (body.cost + moved) * min(length, _BLOCK if long else length) + _PER_ROW
    call = Call(run, arrays, tuple(sizes), prod(shape[:-1]) * blocks, cost)
    return native((call,), overwrites=_overwrites(body))


def _operations(region: Region, inputs: tuple[Spec, ...]) -> tuple[Operation, ...] | None:
    dtypes = [spec.dtype for spec in inputs]
    if not set(dtypes) <= DTYPES:
        return None
    found = []
    for node in region.nodes:
        given = tuple([dtypes[i] for i in node.inputs])
        if operation(node.name, given, node.spec.dtype, node.params) is None:
            return None
        params = tuple(sorted((k, v) for k, v in node.params.items() if k not in _ELSEWHERE))
        found.append(Operation(node.name, node.inputs, node.spec.dtype, params))
        dtypes.append(node.spec.dtype)
    return tuple(found)


# Parameters that the result's dtype or the loops tell.
_ELSEWHERE = frozenset(("dtype", "axes", "keepdims"))


def _lies(shape: Ints, steps: Ints, own: Ints) -> str:
    if all(s == o or d == 1 for d, s, o in zip(shape, steps, own, strict=True)):
        return SAME
    return {0: ONE, 1: ROW}.get(steps[-1], STEPS) if shape[-1] != 1 else ONE


def _whole(given: Given | Literal) -> bool:
    return isinstance(given, Given) and given.lies in (SAME, STEPS)


def _dtype(body: Body, value: int) -> str:
    return (*body.inputs, *body.operations)[value].dtype


def _overwrites(body: Body) -> list[tuple[int, int]]:
    """Every vector is read before it is written, so an output may take any input's place."""
    return [
        (i, position)
        for i in body.arrays
        for position, value in enumerate(body.outputs)
        if body.inputs[i].dtype == _dtype(body, value)
        and body.inputs[i] == (body.inputs[i].dtype, SAME)
    ]


# ----- the code -----


class _Inputs:
    """The inputs of a region in the code.

    Attributes:
        dims: sizes of the loops.
        block: elements of a block.
        moving: positions of the inputs whose place depends on the row.
        strides: of these, from one row to another.
        steps: position -> elements from one element of a row to the next.
    """

    def __init__(self, code: Code, body: Body) -> None:
        self.code, self.body = code, body
        self.dims = [code.size(i) for i in range(body.rank)]
        self.block = code.size(body.rank)
        self.moving: list[int] = []
        self.strides: list[list[Value]] = []
        self.steps: dict[int, Value] = {}
        self.addresses = {
            i: code.array(len(body.outputs) + number) for number, i in enumerate(body.arrays)
        }
        place = body.rank + 1
        for i, given in enumerate(body.inputs):
            if isinstance(given, Literal) or given.lies == SAME:
                continue
            outer = body.rank - 1
            self.moving.append(i)
            self.strides.append([code.size(place + axis) for axis in range(outer)])
            place += outer
            if given.lies == STEPS:
                self.steps[i] = code.size(place)
                place += 1

    def fixed(self, offsets: list[Value], lanes: int) -> dict[int, Value]:
        """What is the same for all elements of a row."""
        found = {}
        places = dict(zip(self.moving, offsets, strict=True))
        for i, given in enumerate(self.body.inputs):
            if isinstance(given, Literal):
                found[i] = given.write(self.code, lanes)
            elif given.lies == ONE:
                one = self.code.load(self.addresses[i], places[i], given.dtype)
                found[i] = self.code.splat(one, lanes)
        return found

    def load(
        self, span: Span, base: Value, offsets: list[Value], fixed: dict[int, Value]
    ) -> list[Value]:
        """The elements of a span."""
        code, found = self.code, []
        places = dict(zip(self.moving, offsets, strict=True))
        for i, given in enumerate(self.body.inputs):
            if i in fixed or isinstance(given, Literal):
                found.append(fixed[i])
                continue
            address = self.addresses[i]
            if given.lies == STEPS:
                step = self.steps[i]
                place = places[i] + span.at * step
                found.append(code.gather(address, place, step, given.dtype, span.lanes, span.mask))
            else:
                place = (base if given.lies == SAME else places[i]) + span.at
                found.append(span.load(code, address, place, given.dtype))
        return found


def _write(code: Code, body: Body) -> None:
    inputs, lanes = _Inputs(code, body), body.lanes(code)
    length = inputs.dims[-1]
    outputs = [code.array(i) for i in range(len(body.outputs))]

    def row(base: Value, offsets: list[Value], start: Value, stop: Value) -> None:
        fixed = inputs.fixed(offsets, lanes)

        def vector(span: Span) -> None:
            values = inputs.load(span, base, offsets, fixed)
            for op in body.operations:
                values.append(op.write(code, values))
            results = [code.splat(values[i], lanes) for i in body.outputs]
            span.store(code, list(zip(results, outputs, strict=True)), base + span.at)

        spans(code, start, stop, lanes, body.cost > _HEAVY, vector)

    zero = code.number(0)
    if body.rank == 1:
        stop = code.minimum(code.end * inputs.block, length)
        row(zero, [zero] * len(inputs.moving), code.begin * inputs.block, stop)
    elif not body.long:
        with rows(code, code.begin, code.end, inputs.dims[:-1], inputs.strides) as (number, at):
            row(number * length, at, zero, length)
    else:
        blocks = (length + inputs.block - 1) // inputs.block
        with code.loop(code.begin, code.end) as item:
            number = item // blocks
            start = (item - number * blocks) * inputs.block
            stop = code.minimum(start + inputs.block, length)
            with rows(code, number, number + 1, inputs.dims[:-1], inputs.strides) as (_, at):
                row(number * length, at, start, stop)


# ----- single operations -----


def _region(inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], region: Region) -> Prepared | None:
    return prepare(region, inputs)


def _single(name: str) -> Prepare:
    def make(inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], **params: Any) -> Prepared | None:
        node = Node(name, tuple(range(len(inputs))), params, outputs[0])
        return prepare(Region(inputs, (node,), (len(inputs),), outputs[0].shape), inputs)

    return make


def _copy(inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> Prepared | None:
    call = copy(inputs[0], source=1, target=0)
    return None if call is None else native((call,))


PREPARE: dict[str, Prepare] = {
    "region": _region,
    "copy": _copy,
    **{name: _single(name) for name in OPERATIONS},
}
