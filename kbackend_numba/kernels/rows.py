"""Kernels that do a matrix row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from kbackend.engine.program import Ints, Prepared, Spec
from kbackend.engine.strides import contiguous_strides
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.row import Length, Row, length_of
from kbackend_numba.codegen.value import Type, Value
from kbackend_numba.kernels.copying import copy, packed
from kbackend_numba.native import Call, Native, native

Specs = tuple[Spec, ...]

# Nanoseconds for a byte, and for what is done once in a row.
_BYTE, _ROW = 0.035, 8.0


class Matrix(NamedTuple):
    """A matrix that is done row by row.

    Attributes:
        rows: how many.
        columns: how many.
        dtype: of its numbers.
    """

    rows: int
    columns: int
    dtype: str

    @property
    def length(self) -> Length:
        """What code knows of a row's length."""
        return length_of(self.columns, self.dtype)

    def in_place(self, *pairs: tuple[int, int]) -> list[tuple[int, int]]:
        """Pairs (input, output) that may share memory; see `Prepared`."""
        # The last vector of a short row is written with a mask: where the next row begins in the
        # same vector, reading it would have to wait until that has reached the cache.
        return list(pairs) if self.length.even or not self.length.vectors else []

    def cost(self, arrays: int, work: float = 0.0) -> float:
        """Nanoseconds for a row of some arrays, with `work` for each of its float32 numbers."""
        size = Type(self.dtype).bits / 8
        return _ROW + self.columns * size * (arrays * _BYTE + work / 4)


# Writes what is done with a row: given the row, and its number.
WriteRow = Callable[[Row, Value], None]


def by_rows(
    matrix: Matrix, key: tuple[Any, ...], write: WriteRow, arrays: Ints, cost: float
) -> Call:
    """A call whose items are rows.

    Args:
        matrix: what it is about.
        key: name of the function, and what its code depends on besides the matrix.
        write: writes what is done with a row.
        arrays: places of its arrays.
        cost: nanoseconds for a row.
    """
    dtype, length = matrix.dtype, matrix.length

    def body(code: Code) -> None:
        row = Row(code, dtype, code.size(0), length)
        with code.loop(code.begin, code.end) as number:
            write(row, number)

    made = function((*key, dtype, length), body)
    return Call(made, arrays, (matrix.columns,), matrix.rows, cost)


# Makes the kernel for rows of some length, of arrays whose last dimension they are.
MakeRows = Callable[[Matrix], Prepared]


def over_axes(
    make: MakeRows, inputs: Specs, outputs: Specs, axes: Ints, whole: Ints, reduced: bool = False
) -> Prepared | None:
    """The kernel of rows that lie along any axes.

    Args:
        make: makes the kernel where the axes are the last ones.
        inputs: specs of its inputs.
        outputs: specs of its one output.
        axes: along which a row lies.
        whole: positions of the inputs that have the matrix's shape; the others have one number for
            each row.
        reduced: whether the output has one number for each row.
    """
    x = inputs[whole[0]]
    if x.dtype not in ("float32", "float64") or not x.size:
        return None
    outer = [i for i in range(len(x.shape)) if i not in axes]
    order = (*outer, *axes)
    rows = 1
    for i in outer:
        rows *= x.shape[i]
    matrix = Matrix(rows, x.size // rows, x.dtype)
    # Dimensions of size 1 may stand anywhere.
    large = [i for i in order if x.shape[i] != 1]
    if large == sorted(large):
        return packed(lambda given, made: make(matrix))(inputs, outputs)
    turned = tuple([_turned(s, order) if i in whole else s for i, s in enumerate(inputs)])
    ready = packed(lambda given, made: make(matrix))(turned, outputs)
    if reduced or not isinstance(ready, Native):
        return ready
    return _turned_back(ready, len(inputs), outputs[0], order)


def _turned(spec: Spec, order: Ints) -> Spec:
    """An array with its dimensions in another order."""
    strides = spec.strides or contiguous_strides(spec.shape)
    return Spec(
        tuple([spec.shape[i] for i in order]), spec.dtype, tuple([strides[i] for i in order])
    )


def _turned_back(ready: Native, inputs: int, output: Spec, order: Ints) -> Prepared | None:
    """A kernel that writes its output with its dimensions in another order, made to write it in
    theirs."""
    room = 1 + inputs + len(ready.scratch)
    shape = tuple([output.shape[i] for i in order])
    strides = contiguous_strides(shape)
    back = tuple([strides[order.index(i)] for i in range(len(order))])
    last = copy(Spec(output.shape, output.dtype, back), room, 0)
    if last is None:
        return None
    calls = [
        replace(c, arrays=tuple([room if a == 0 else a for a in c.arrays])) for c in ready.calls
    ]
    return native([*calls, last], (*ready.scratch, Spec(shape, output.dtype)))
