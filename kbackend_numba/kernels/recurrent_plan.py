"""What kernels of recurrent layers are planned with: their arrays, and what follows from shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kbackend.engine.program import Ints, Prepared, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.target import host
from kbackend_numba.kernels.copying import copy
from kbackend_numba.kernels.recurrent_cell import Cell
from kbackend_numba.kernels.recurrent_rows import VECTORS, cut
from kbackend_numba.native import Call, native

Specs = tuple[Spec, ...]
# Of arrays and of sizes.
Names = tuple[Sequence[str], Sequence[str]]

# Tiles of examples that go through all steps together, and so many that they make good use of
# panels.
BLOCK, GRAIN = 6, 3
# Tiles that are too few to be shared, and bytes of weights that make it worth to share steps.
_FEW_TILES, _LARGE_WEIGHTS = 2, 1 << 20
# Operations per nanosecond, and while a weight is read; nanoseconds for a number that is packed.
_FLOPS, _READING, _PACKING = 130.0, 10.0, 0.7


class Room:
    """The arrays of a kernel: outputs, inputs, and scratch that is asked for.

    Args:
        outputs: specs of the outputs.
        inputs: specs of the inputs.
    """

    def __init__(self, outputs: Specs, inputs: Specs) -> None:
        self._specs = [*outputs, *inputs]
        self._own = len(self._specs)
        self.calls: list[Call] = []

    @property
    def scratch(self) -> list[Spec]:
        """What was asked for."""
        return self._specs[self._own :]

    def new(self, *shape: int) -> int:
        """The position of a new array."""
        return self._put(Spec(shape, self._specs[0].dtype))

    def _put(self, spec: Spec) -> int:
        self._specs.append(spec)
        return len(self._specs) - 1

    def shape(self, position: int) -> Ints:
        """The shape of an array."""
        return self._specs[position].shape

    def contiguous(self, position: int) -> int:
        """An array, or a copy of it that is contiguous."""
        return self.ordered(position, range(len(self.shape(position))))

    def ordered(self, position: int, axes: Sequence[int]) -> int:
        """An array whose dimensions follow each other in that order, or a copy that does so."""
        spec = self._specs[position]
        strides = spec.strides or row_major(spec.shape)
        shape, strides = [tuple(own[i] for i in axes) for own in (spec.shape, strides)]
        if all(a == b or n == 1 for a, b, n in zip(strides, row_major(shape), shape, strict=True)):
            return position
        target = self._put(Spec(shape, spec.dtype))
        self._copy(spec._replace(shape=shape, strides=strides), position, target)
        return target

    def rows(self, position: int) -> tuple[int, Ints]:
        """An array whose last dimension is contiguous, and its strides."""
        spec = self._specs[position]
        if spec.strides is not None and (spec.strides[-1] == 1 or spec.shape[-1] == 1):
            return position, spec.strides
        return self.contiguous(position), row_major(spec.shape)

    def copy(self, source: int, target: int) -> None:
        """Copies an array to the beginning of a contiguous one."""
        self._copy(self._specs[source], source, target)

    def _copy(self, spec: Spec, source: int, target: int) -> None:
        made = copy(spec, source, target)
        if made is not None:
            self.calls.append(made)

    def call(
        self,
        key: Sequence[Any],
        write: Callable[[Code], None],
        names: Names,
        values: Mapping[str, int],
        items: int,
        work: float,
        grain: int = 1,
    ) -> None:
        """Appends a call.

        Args:
            key: what the function is.
            write: writes it.
            names: of its arrays and its sizes, in their order.
            values: positions of the arrays, and the sizes. What is missing is 0: nobody looks at
                it.
            items: how many there are.
            work: operations of all items.
            grain: see `Call`.
        """
        arrays, sizes = [tuple([values.get(name, 0) for name in own]) for own in names]
        cost = max(1.0, work / _FLOPS / max(1, items))
        made = function(("recurrent", *key), write)
        self.calls.append(Call(made, arrays, sizes, items, cost, grain))

    def pack(
        self,
        key: Sequence[Any],
        write: Callable[[Code], None],
        names: Names,
        values: Mapping[str, int],
        items: int,
        numbers: int,
    ) -> None:
        """Appends a call that packs that many numbers; see `call`."""
        self.call(key, write, names, values, items, numbers * _PACKING * _FLOPS)

    def done(self) -> Prepared:
        """The kernel."""
        return native(self.calls, self.scratch)


def row_major(shape: Ints) -> Ints:
    """The strides of a contiguous array."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def in_time(name: str, backwards: bool, time: int, example: int, step: int) -> dict[str, int]:
    """Elements of an array to the first step, from example to example, and from step to step.

    Args:
        name: the array's.
        backwards: whether the steps go from the last one to the first.
        time: how many steps.
        example: elements from one example to the next.
        step: elements from one index of the time to the next.
    """
    first = (time - 1) * step if backwards else 0
    return {
        f"{name}_first": first,
        f"{name}_example": example,
        f"{name}_step": -step if backwards else step,
    }


class Sizes:
    """What follows from the shapes of a layer's input and state.

    Args:
        cell: the layer's.
        x: shape of the input.
        h: shape of the state.
        dtype: of all arrays.
    """

    def __init__(self, cell: Cell, x: Ints, h: Ints, dtype: str) -> None:
        self.cell, self.dtype = cell, dtype
        self.batch, self.time, self.features = x
        self.units = h[1]
        self.itemsize = 4 if dtype == "float32" else 8
        lanes = host().lanes(self.itemsize)
        self.width = cell.span * lanes
        self.groups = -(-self.units // self.width)
        self.tail = self.units % self.width != 0
        self.tiles, main, high = cut(host(), self.batch)
        self.of_examples = {
            "batch": self.batch, "tiles": self.tiles, "main": main, "high": high
        }  # fmt: skip
        # Whether each step is shared between the threads, unit by unit: there are few examples, and
        # reading the weights takes longer than it takes the threads to meet.
        weights = (self.features + self.units) * cell.blocks * self.units * self.itemsize
        self.by_units = self.tiles <= _FEW_TILES and weights >= _LARGE_WEIGHTS
        # Rows of weights that are columns of a panel on the way back.
        self.panel = VECTORS * lanes

    def operations(self, blocks: Sequence[int], rows: int) -> float:
        """Of the products with some blocks of weights with that many rows, in a step; for few
        examples as many as there could be while the weights are read."""
        weights = rows * len(blocks) * self.width * self.groups
        return max(2.0 * self.batch, _READING) * weights
