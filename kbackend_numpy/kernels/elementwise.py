"""Elementwise operations as calls of ufuncs that write into given memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.array_module.elementwise import UFUNCS
from kbackend.engine.program import Spec
from kbackend_numpy.kernels.activation import gelu_double, gelu_single, gelu_tanh

Array = np.ndarray[Any, Any]

# In a call's arguments: the output, or an input's position. Other arguments are constants.
OUT = -1
# The first scratch array.
TEMPORARY = -2


class Call(NamedTuple):
    """One NumPy call: arguments that are `Slot`s stand for arrays."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]


class Slot(int):
    """An array among the arguments: `OUT`, the position of an input, or `TEMPORARY` and below."""


class Emitted(NamedTuple):
    """The calls of one operation.

    Attributes:
        calls: in order.
        safe: positions of the inputs that the output may share memory with.
        scratch: dtypes of arrays of the output's shape that the calls need, which they find at
            `TEMPORARY`, `TEMPORARY - 1` and so on.
    """

    calls: tuple[Call, ...]
    safe: frozenset[int]
    scratch: tuple[str, ...] = ()


_OUT = Slot(OUT)
_X, _Y, _Z = Slot(0), Slot(1), Slot(2)
_S, _T = Slot(TEMPORARY), Slot(TEMPORARY - 1)


# Elements from which on choices by bits are faster: they take more calls, but no branches.
_MANY = 256
# Bytes of an element -> the signed integer of its width.
_BITS = {1: "int8", 2: "int16", 4: "int32", 8: "int64"}


def _maximum(x: Array, y: Array, out: Array) -> None:
    np.maximum(x, y, out=out)


def _minimum(x: Array, y: Array, out: Array) -> None:
    np.minimum(x, y, out=out)


def _ones_where(out: Array, condition: Array) -> None:
    """Integers with all bits set where the condition holds, and none elsewhere."""
    # In two steps, since a ufunc that casts works through a buffer of its own.
    np.copyto(out, condition.view(np.int8))
    np.negative(out, out)


def _one_where(out: Array, condition: Array) -> None:
    """Integers: 1 where the condition holds, else 0."""
    np.copyto(out, condition)


def _kept(out: Array, one: Array, x: Array) -> None:
    """x where `one` is 1; 0 where it is 0, also for infinities and NaN: the bits are multiplied."""
    np.multiply(x.view(one.dtype), one, out=out.view(one.dtype))


def _blended(out: Array, ones: Array, x: Array, y: Array) -> None:
    """x where `ones` has its bits set, else y."""
    bits, y = out.view(ones.dtype), y.view(ones.dtype)
    np.bitwise_xor(x.view(ones.dtype), y, out=bits)
    np.bitwise_and(bits, ones, out=bits)
    np.bitwise_xor(bits, y, out=bits)


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


# Elementwise primitives and composites that may be emitted.
NAMES = frozenset(UFUNCS) | frozenset(
    ("cast", "bitcast", "select", "rsqrt", "sigmoid", "real", "imag", "complex")
)
COMPOSITES = frozenset(("relu", "relu_grad", "masked_scale", "gelu"))
# Ufuncs that don't take the output by position.
_BY_KEYWORD = {"maximum": _maximum, "minimum": _minimum}


def _ufunc(ufunc: Any, inputs: tuple[Spec, ...], out: Spec) -> Emitted | None:
    """The ufunc itself, if it computes in these very dtypes."""
    kinds = tuple(numpy_dtype(spec.dtype) for spec in (*inputs, out))
    try:
        if ufunc.resolve_dtypes((*kinds[:-1], None)) != kinds:
            return None
    except TypeError:
        return None
    slots = tuple(Slot(i) for i in range(len(inputs)))
    fn = _BY_KEYWORD.get(ufunc.__name__, ufunc)
    return Emitted((Call(fn, (*slots, _OUT)),), frozenset(slots))


def _select(out: Spec, zero: bool) -> Emitted:
    """x where the condition holds, else y, which may be known to be zero."""
    bits = _BITS.get(numpy_dtype(out.dtype).itemsize)
    if out.size < _MANY or bits is None:
        calls = (Call(np.copyto, (_OUT, _Z)), Call(_copy_where, (_OUT, _Y, _X)))
        return Emitted(calls, frozenset((2,)))
    calls = (Call(_ones_where, (_S, _X)), Call(_blended, (_OUT, _S, _Y, _Z)))
    if zero:
        calls = (Call(_one_where, (_S, _X)), Call(_kept, (_OUT, _S, _Y)))
    return Emitted(calls, frozenset((1,)), (bits,))


def _composite(name: str, out: Spec, params: Mapping[str, Any]) -> Emitted | None:
    dtype = numpy_dtype(out.dtype)
    if dtype.char not in "fd":
        return None
    zero, bits = dtype.type(0), _BITS[dtype.itemsize]
    if name == "relu":
        return Emitted((Call(_maximum, (_X, zero, _OUT)),), frozenset((0,)))
    if name == "relu_grad":
        calls = (
            Call(np.greater, (_Y, zero, _T)),
            Call(_one_where, (_S, _T)),
            Call(_kept, (_OUT, _S, _X)),
        )
        return Emitted(calls, frozenset((0, 1)), (bits, "bool"))
    if name == "gelu":
        return _gelu(out, **params)
    calls = (
        Call(_one_where, (_S, _Y)),
        Call(np.multiply, (_X, dtype.type(params["scale"]), _OUT)),
        Call(_kept, (_OUT, _S, _OUT)),
    )
    return Emitted(calls, frozenset((0,)), (bits,))


def _gelu(out: Spec, approximate: bool) -> Emitted:
    # The results are written last, so that they may take the place of the arguments.
    scratch = (out.dtype, out.dtype)
    if approximate:
        return Emitted((Call(gelu_tanh, (_OUT, _X, _S, _T)),), frozenset((0,)), scratch)
    if out.dtype == "float32":
        return Emitted((Call(gelu_single, (_OUT, _X, _S, _T)),), frozenset((0,)), scratch)
    return Emitted((Call(gelu_double, (_OUT, _X, _S)),), frozenset((0,)), scratch[:1])


def emit(
    name: str,
    inputs: tuple[Spec, ...],
    out: Spec,
    params: Mapping[str, Any],
    known: Mapping[int, Any] | None = None,
) -> Emitted | None:
    """The calls for an elementwise operation, or `None` if there are none that suit.

    Args:
        name: the primitive or composite.
        inputs: specs of its arguments, which broadcast to the result.
        out: spec of its result.
        params: its parameters.
        known: values of arguments that are literal scalars, by position.
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
        return _select(out, repr((known or {}).get(2)) in ("0", "0.0", "False"))
    if name in COMPOSITES:
        return _composite(name, out, params)
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
