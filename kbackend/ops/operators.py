"""Operators and indexing of KerasTensors: each of them becomes a node of a functional model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbackend.core.operators import attach
from kbackend.ops import numpy
from kbackend.ops.keras_tensor import KerasTensor


def _reflected(fn: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda self, other: fn(other, self)


def _iterate(self: KerasTensor) -> Any:
    raise TypeError(
        "A KerasTensor can't be iterated over: it has no values. Use ops.split or ops.map. "
        f"Received: {self!r}."
    )


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": numpy.add, "sub": numpy.subtract, "mul": numpy.multiply, "truediv": numpy.divide,
    "floordiv": numpy.floor_divide, "mod": numpy.mod, "pow": numpy.power, "matmul": numpy.matmul,
    "and": numpy.logical_and, "or": numpy.logical_or, "xor": numpy.logical_xor,
}  # fmt: skip

# NumPy must hand `ndarray + KerasTensor` over to KerasTensor.__radd__.
KerasTensor.__array_ufunc__ = None  # type: ignore[attr-defined]

# `==` stays the identity of the object, as in Keras: lists and sets of KerasTensors need it.
attach(
    KerasTensor,
    {
        **{f"__{name}__": fn for name, fn in _BINARY.items()},
        **{f"__r{name}__": _reflected(fn) for name, fn in _BINARY.items()},
        "__lt__": numpy.less,
        "__le__": numpy.less_equal,
        "__gt__": numpy.greater,
        "__ge__": numpy.greater_equal,
        "__ne__": numpy.not_equal,
        "__neg__": numpy.negative,
        "__abs__": numpy.absolute,
        "__invert__": numpy.logical_not,
        "__round__": numpy.round,
        "__getitem__": numpy.get_item,
        "__iter__": _iterate,
        "reshape": numpy.reshape,
        "squeeze": numpy.squeeze,
    },
)
