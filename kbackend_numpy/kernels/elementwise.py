"""Elementwise primitives as calls of ufuncs that write into given memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.array_module.elementwise import UFUNCS
from kbackend.engine.program import Spec

Array = np.ndarray[Any, Any]

# In a call's arguments: the output, or an input's position. Other arguments are constants.
OUT = -1


class Call(NamedTuple):
    """One NumPy call: arguments that are `Slot`s stand for arrays."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]


class Slot(int):
    """An array among a call's arguments: `OUT` or the position of an input."""


class Emitted(NamedTuple):
    """The calls of one operation.

    Attributes:
        calls: in order.
        safe: positions of the inputs that the output may share memory with.
    """

    calls: tuple[Call, ...]
    safe: frozenset[int]


_OUT = Slot(OUT)
_X, _Y, _Z = Slot(0), Slot(1), Slot(2)


def _copy_where(out: Array, x: Array, condition: Array) -> None:
    np.copyto(out, x, where=condition)


def _cast(out: Array, x: Array) -> None:
    np.copyto(out, x, casting="unsafe")


def _cast_real(out: Array, x: Array) -> None:
    np.copyto(out, x.real, casting="unsafe")


def _imag(out: Array, x: Array) -> None:
    np.copyto(out, x.imag)


def _bits(out: Array, x: Array) -> None:
    np.copyto(out.view(x.dtype), x)


def _complex(out: Array, x: Array, y: Array) -> None:
    out.real, out.imag = x, y


# Elementwise primitives that may be emitted.
NAMES = frozenset(UFUNCS) | frozenset(
    ("cast", "bitcast", "select", "rsqrt", "sigmoid", "real", "imag", "complex")
)


def _ufunc(ufunc: Any, inputs: tuple[Spec, ...], out: Spec) -> Emitted | None:
    """The ufunc itself, if it computes in these very dtypes."""
    kinds = tuple(numpy_dtype(spec.dtype) for spec in (*inputs, out))
    try:
        if ufunc.resolve_dtypes((*kinds[:-1], None)) != kinds:
            return None
    except TypeError:
        return None
    slots = tuple(Slot(i) for i in range(len(inputs)))
    return Emitted((Call(ufunc, (*slots, _OUT)),), frozenset(slots))


def emit(
    name: str, inputs: tuple[Spec, ...], out: Spec, params: Mapping[str, Any]
) -> Emitted | None:
    """The calls for an elementwise primitive, or `None` if there are none that suit.

    Args:
        name: the primitive.
        inputs: specs of its arguments, which broadcast to the result.
        out: spec of its result.
        params: its parameters.
    """
    ufunc = UFUNCS.get(name)
    if ufunc is not None:
        return _ufunc(getattr(np, ufunc), inputs, out)
    dtype = numpy_dtype(out.dtype)
    one = frozenset((0,))
    if name == "copy":
        return Emitted((Call(np.copyto, (_OUT, _X)),), one)
    if name == "cast":
        fn = (
            _cast_real
            if inputs[0].dtype.startswith("complex") and dtype.kind not in "cb"
            else _cast
        )
        return Emitted((Call(fn, (_OUT, _X)),), frozenset())
    if name == "bitcast":
        return Emitted((Call(_bits, (_OUT, _X)),), frozenset())
    if name == "select":
        return Emitted(
            (Call(np.copyto, (_OUT, _Z)), Call(_copy_where, (_OUT, _Y, _X))), frozenset((2,))
        )
    if name == "rsqrt" and dtype.char in "fd":
        return Emitted((Call(np.sqrt, (_X, _OUT)), Call(np.reciprocal, (_OUT, _OUT))), one)
    if name == "sigmoid" and dtype.char in "fd":
        # exp(-x) may overflow to infinity, which gives the right answer 0.
        calls = (
            Call(np.negative, (_X, _OUT)),
            Call(np.exp, (_OUT, _OUT)),
            Call(np.add, (_OUT, dtype.type(1), _OUT)),
            Call(np.reciprocal, (_OUT, _OUT)),
        )
        return Emitted(calls, one)
    if name == "real":
        return Emitted((Call(_cast_real, (_OUT, _X)),), frozenset())
    if name == "imag":
        return Emitted((Call(_imag, (_OUT, _X)),), frozenset())
    if name == "complex":
        return Emitted((Call(_complex, (_OUT, _X, _Y)),), frozenset())
    return None
