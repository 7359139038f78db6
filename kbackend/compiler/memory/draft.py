"""A program before its memory is planned: values with layouts, and steps with prepared kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kbackend.base import dtypes
from kbackend.compiler.memory.layout import Layout, contiguous
from kbackend.core.aval import Aval
from kbackend.engine.interface import Engine
from kbackend.engine.program import Prepared, Spec, Step


@dataclass
class Value:
    """A value of the program to be.

    Attributes:
        aval: shape and dtype.
        base: the value whose memory it shows; itself unless it is a view.
        layout: where its elements are in that memory.
    """

    aval: Aval
    base: int
    layout: Layout

    @cached_property
    def spec(self) -> Spec:
        """As engines see it."""
        strides = None if self.layout.contiguous else self.layout.strides
        return Spec(self.layout.shape, self.aval.dtype, strides)

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return self.spec.size * dtypes.itemsize(self.aval.dtype)

    @property
    def whole(self) -> bool:
        """Whether it lies as an array that is made anew would."""
        return self.layout.offset == 0 and self.spec.contiguous


@dataclass
class Draft:
    """A program before its memory is planned."""

    engine: Engine
    name: str
    values: list[Value] = field(default_factory=list)
    constants: dict[int, Any] = field(default_factory=dict)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    updates: list[tuple[int, int]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def new(self, aval: Aval) -> int:
        """A value with memory of its own."""
        number = len(self.values)
        self.values.append(Value(aval, number, contiguous(aval.shape)))
        return number

    def constant(self, array: Any, aval: Aval) -> int:
        """A value that is known."""
        number = self.new(aval)
        self.constants[number] = array
        return number

    def show(self, aval: Aval, base: int, layout: Layout) -> int:
        """A view."""
        self.values.append(Value(aval, base, layout))
        return len(self.values) - 1

    def copy(self, value: int, source: str = "") -> int:
        """The same elements in memory of their own."""
        made = self.new(self.values[value].aval)
        self.step("copy", (value,), (made,), {}, source)
        return made

    def prepared(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], params: Mapping[str, Any]
    ) -> Prepared | None:
        """The engine's kernel for values as they lie in memory."""
        return self.engine.prepare(
            name,
            tuple([self.values[i].spec for i in inputs]),
            tuple([self.values[i].spec for i in outputs]),
            params,
        )

    def step(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        params: Mapping[str, Any],
        source: str,
    ) -> None:
        """Appends a step, with its kernel if the engine can prepare one."""
        prepared = self.prepared(name, inputs, outputs, params)
        self.steps.append(Step(name, tuple(inputs), tuple(outputs), params, source, prepared))
