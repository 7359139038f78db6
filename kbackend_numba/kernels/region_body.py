"""What a region computes, in the form that its code depends on."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any, NamedTuple

from kbackend.engine.program import REDUCTIONS, Ints, Node, Region, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.elementwise import OPERATIONS, operation
from kbackend_numba.codegen.value import DTYPES, HALVES, Type, Value

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

    def write(self, code: Code) -> Value:
        """The number in the code."""
        read: Any = {"bool": _truth}.get(self.dtype, int)
        return code.number((float if Type(self.dtype).floating else read)(self.text), self.dtype)


def _truth(text: str) -> bool:
    return text == "True"


class Operation(NamedTuple):
    """An operation of a region as the code sees it.

    Attributes:
        name: of the primitive or composite.
        inputs: positions among inputs and earlier operations.
        dtype: of its result.
        params: those that change what is written.
        kept: whether it has one result for a row, and not one for each element.
    """

    name: str
    inputs: Ints
    dtype: str
    params: Params
    kept: bool = False

    @property
    def reduces(self) -> bool:
        """Whether it is a reduction."""
        return self.name in REDUCTIONS

    @property
    def cost(self) -> float:
        """Nanoseconds for a float32 element, roughly."""
        return 0.01 if self.reduces else OPERATIONS[self.name].cost

    def write(self, code: Code, values: Sequence[Value]) -> Value:
        """Its result, if it is elementwise.

        Args:
            code: where to write.
            values: its arguments.
        """
        # A number beside vectors is spread over their lanes.
        lanes = max(value.type.lanes for value in values)
        values = [code.splat(value, lanes) for value in values]
        params = dict(self.params)
        if self.name in ("cast", "bitcast"):
            params = {"dtype": self.dtype}
        return OPERATIONS[self.name].write(code, *values, **params)


class Body(NamedTuple):
    """What a region computes.

    Attributes:
        inputs: arrays and literals, in their order.
        operations: each after those that it needs.
        outputs: positions among inputs and operations.
    """

    inputs: tuple[Given | Literal, ...]
    operations: tuple[Operation, ...]
    outputs: Ints

    @property
    def arrays(self) -> list[int]:
        """Positions of the inputs that are arrays."""
        return [i for i, given in enumerate(self.inputs) if isinstance(given, Given)]

    @property
    def cost(self) -> float:
        """Nanoseconds for a float32 element, roughly."""
        return sum(op.cost for op in self.operations if not op.kept)

    def of(self, value: int) -> Given | Literal | Operation:
        """What is at a position."""
        count = len(self.inputs)
        return self.inputs[value] if value < count else self.operations[value - count]

    def operation(self, value: int) -> Operation:
        """The operation whose result is at a position."""
        return self.operations[value - len(self.inputs)]

    @property
    def itemsize(self) -> int:
        """Bytes of an element of the widest dtype."""
        dtypes = [one.dtype for one in (*self.inputs, *self.operations)]
        return max(Type(dtype).bits // 8 for dtype in dtypes)

    def lanes(self, code: Code) -> int:
        """Elements of a vector: as many as of the widest dtype fill one register."""
        return code.target.lanes(self.itemsize)


def body_of(region: Region, inputs: Sequence[Spec], lies: dict[int, str]) -> Body | None:
    """What a region computes, or `None` if one of its operations can't be written.

    Args:
        region: the region.
        inputs: specs of its inputs.
        lies: how those that are arrays lie, by position.
    """
    dtypes = [spec.dtype for spec in inputs]
    if not set(dtypes) <= DTYPES | HALVES:
        return None
    given = [
        Literal(spec.dtype, repr(region.known[i]))
        if i in region.known
        else Given(spec.dtype, lies[i])
        for i, spec in enumerate(inputs)
    ]
    operations = []
    for node in region.nodes:
        if not _writable(node, [dtypes[i] for i in node.inputs]):
            return None
        params = () if node.reduces else _params(node)
        kept = node.reduces or node.spec.shape != region.shape
        operations.append(Operation(node.name, node.inputs, node.spec.dtype, params, kept))
        dtypes.append(node.spec.dtype)
    return Body(tuple(given), tuple(operations), region.outputs)


def _writable(node: Node, dtypes: list[str]) -> bool:
    if node.reduces:
        return dtypes[0] == node.spec.dtype and node.spec.dtype in DTYPES
    return operation(node.name, tuple(dtypes), node.spec.dtype, node.params) is not None


def _params(node: Node) -> Params:
    # The dtype of a cast is that of the result.
    return tuple(sorted((k, v) for k, v in node.params.items() if k != "dtype"))


Load = Callable[[int], Value]


def evaluate(
    code: Code,
    body: Body,
    wanted: Sequence[int],
    found: dict[int, Value],
    load: Load,
    aside: Container[int] = (),
) -> list[Value]:
    """Values of elements that are done at once.

    Args:
        code: where to write.
        body: what to compute.
        wanted: positions of the values.
        found: those that are there already; others that are needed are added.
        load: reads an input, or what was put aside.
        aside: results that were written down before.
    """

    def value(position: int) -> Value:
        if position not in found:
            if position < len(body.inputs) or position in aside:
                found[position] = load(position)
            else:
                op = body.operations[position - len(body.inputs)]
                found[position] = op.write(code, [value(i) for i in op.inputs])
        return found[position]

    return [value(position) for position in wanted]
