"""The values of a region in CUDA text, whatever loop they are computed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kbackend.engine.program import Region, Spec
from kbackend_cupy.codegen.launch import library
from kbackend_cupy.codegen.operations import expression, takes
from kbackend_cupy.codegen.scalar import HALVES, TYPES, computed, literal
from kbackend_cupy.codegen.space import Space, space


class Body:
    """A region as the text's writers see it.

    Attributes:
        region: what is computed.
        space: the loops.
        dtypes: of all values.
        arrays: inputs that are arrays.
        count: how many inputs there are.
        whole: values that differ along the reduced dimensions.
    """

    def __init__(self, region: Region, inputs: tuple[Spec, ...]) -> None:
        self.region = region
        self.space: Space = space(region, inputs)
        self.count = len(inputs)
        self.dtypes = [spec.dtype for spec in inputs] + [n.spec.dtype for n in region.nodes]
        self.arrays = [i for i in range(self.count) if i not in region.known]
        self.whole = {i for i in self.arrays if any(self.space.inputs[i].reduced)}
        for number, node in enumerate(region.nodes, self.count):
            if not node.reduces and not self.whole.isdisjoint(node.inputs):
                self.whole.add(number)

    @property
    def writable(self) -> bool:
        """Whether each operation can be written."""
        return all(
            takes(node, [self.dtypes[i] for i in node.inputs]) for node in self.region.nodes
        ) and set(self.dtypes) <= set(TYPES)

    @property
    def reductions(self) -> list[int]:
        """Values that are reductions."""
        return [i for i, node in enumerate(self.region.nodes, self.count) if node.reduces]

    def widely(self, output: int) -> bool:
        """Whether an output has an element for each index of the domain."""
        value = self.region.outputs[output]
        if value < self.count:
            return self.region.inputs[value].shape == self.region.shape
        node = self.region.nodes[value - self.count]
        return not node.reduces and node.spec.shape == self.region.shape

    def type(self, value: int) -> str:
        """The C++ type that a value is computed in."""
        return computed(self.dtypes[value])

    def name(self, value: int) -> str:
        """How the text calls a value."""
        known = self.region.known
        return literal(known[value], self.dtypes[value]) if value in known else f"v{value}"

    def needed(self, goals: Iterable[int], known: Iterable[int]) -> list[int]:
        """Values to compute for the goals, each after those that it needs.

        Args:
            goals: values.
            known: those that are there already.
        """
        found: set[int] = set()
        there = {*known, *self.region.known}
        todo = [value for value in goals if value not in there]
        while todo:
            value = todo.pop()
            found.add(value)
            if value >= self.count:
                inputs = self.region.nodes[value - self.count].inputs
                todo += [i for i in inputs if i not in there and i not in found]
        return sorted(found)

    def read(self, value: int, place: str) -> str:
        """An element of an input."""
        return f"kb::load<{self.type(value)}>(i{value}[{place}])"

    def statement(self, value: int, place: Callable[[int], str]) -> str:
        """The definition of a value.

        Args:
            value: an input, or an elementwise node.
            place: of an input's element.
        """
        if value < self.count:
            given = self.read(value, place(value))
        else:
            node = self.region.nodes[value - self.count]
            given = expression(node, [self.name(i) for i in node.inputs])
        return f"const {self.type(value)} v{value} = {given};"

    def write(self, output: int, place: str) -> str:
        """The statement that stores an output's element."""
        return f"o{output}[{place}] = {self.stored(output)};"

    def stored(self, output: int) -> str:
        """An output's element as it is kept in memory."""
        value = self.region.outputs[output]
        return f"kb::store<{TYPES[self.dtypes[value]]}>({self.name(value)})"

    def parameters(self) -> list[str]:
        """Outputs and inputs as a kernel's parameters."""
        outputs = [
            f"{TYPES[self.dtypes[value]]}* o{i}" for i, value in enumerate(self.region.outputs)
        ]
        return outputs + [f"const {TYPES[self.dtypes[i]]}* i{i}" for i in self.arrays]

    def places(self) -> tuple[int, ...]:
        """Which arrays of a step the parameters are."""
        outputs = len(self.region.outputs)
        return (*range(outputs), *[outputs + i for i in self.arrays])

    def libraries(self, *names: str) -> str:
        """The texts that a kernel begins with."""
        half = ["half.cuh"] if HALVES & set(self.dtypes) else []
        return "".join(library(name) for name in ("elementwise.cuh", *half, *names))
