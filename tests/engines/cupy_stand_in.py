"""NumPy behind CuPy's narrower interface, so that the CuPy engine's kernels run on any machine.

Names and parameters are limited to those of the snapshot in cupy_api.json. Where CuPy behaves
differently from NumPy, so do these: reductions answer with 0-d arrays, arrays of NumPy's own are
refused, `take` wraps, `where` forgets bfloat16, batched products refuse it, factorizations report
failure on request only, and writing twice to one place is undefined (here: an error).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from kbackend.engine.array_module import random as shared_random
from kbackend.engine.array_module import special
from kbackend.engine.interface import Engine, Probe
from kbackend.engine.interpreter import Interpreter
from kbackend.engine.program import Program, Runner
from kbackend_cupy.engine import CupyEngine
from kbackend_cupy.table import table
from tests.engines import cupy_api

NAMES: dict[str, Any] = cupy_api.read()["names"]

_ATOMIC = {"int32", "int64", "uint32", "uint64", "float16", "float32", "float64"}


def signature_of(full: str) -> inspect.Signature | None:
    """The signature in the snapshot; `None` where it is not known."""
    noted = NAMES[full]
    if not isinstance(noted, list):
        return None
    kinds = inspect.Parameter
    positional_only = noted.index("/") if "/" in noted else -1
    kind = kinds.POSITIONAL_OR_KEYWORD
    made = []
    for place, text in enumerate(noted):
        if text == "/":
            continue
        if text == "*":
            kind = kinds.KEYWORD_ONLY
            continue
        if text.startswith("**"):
            made.append(kinds(text[2:], kinds.VAR_KEYWORD))
        elif text.startswith("*"):
            made.append(kinds(text[1:], kinds.VAR_POSITIONAL))
            kind = kinds.KEYWORD_ONLY
        else:
            own = kinds.POSITIONAL_ONLY if place < positional_only else kind
            default = None if text.endswith("?") else kinds.empty
            made.append(kinds(text.rstrip("?"), own, default=default))
    return inspect.Signature(made)


class Array(np.ndarray):
    """Memory that passes for a device's: only the attributes of `cupy.ndarray`."""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and f"cupy.ndarray.{name}" not in NAMES:
            raise AttributeError(f"cupy.ndarray has no attribute {name!r}")
        found = super().__getattribute__(name)
        if inspect.isroutine(found) and not name.startswith("_"):
            return _method(name, getattr(np.ndarray.view(self, np.ndarray), name))
        return found

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            raise TypeError(f"CuPy has no {ufunc.__name__}.{method}")
        if ufunc is np.matmul:
            _refuse_batched_bfloat16(*inputs)
        kwargs = {key: _plain(value) for key, value in kwargs.items()}
        with np.errstate(all="ignore"):
            return _wrap(ufunc(*map(_plain, inputs), **kwargs))

    def __array_function__(self, func: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(f"numpy.{func.__name__} called on an array of the device")

    def __getitem__(self, index: Any) -> Any:
        return _wrap(super().__getitem__(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        parts = index if isinstance(index, tuple) else (index,)
        integers = [_plain(p) for p in parts if isinstance(p, Array) and p.dtype.kind in "iu"]
        if integers:
            places = np.stack(np.broadcast_arrays(*integers)).reshape(len(integers), -1)
            if np.unique(places, axis=1).shape != places.shape:
                raise RuntimeError("Several writes to one place: CuPy leaves open which one wins")
        super().__setitem__(index, _plain(value))


def _refuse_batched_bfloat16(*inputs: Any) -> None:
    for x in inputs:
        if isinstance(x, np.ndarray) and x.dtype.name == "bfloat16" and x.ndim > 2:
            raise TypeError("CuPy has no batched product of bfloat16")


def _plain(value: Any) -> Any:
    """What NumPy computes on; raises TypeError for an array of the host."""
    if isinstance(value, Array):
        return np.ndarray.view(value, np.ndarray)
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (list, tuple)):
        return type(value)([_plain(item) for item in value])
    return value


def _wrap(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple([_wrap(item) for item in value])
    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value).view(Array)
    return value


def _bind(full: str, args: Any, kwargs: Any) -> None:
    signature = signature_of(full)
    if signature is not None:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{full}{signature}: {error}") from None


def _method(name: str, bound: Callable[..., Any]) -> Callable[..., Any]:
    def method(*args: Any, **kwargs: Any) -> Any:
        _bind(f"cupy.ndarray.{name}", args, kwargs)
        with np.errstate(all="ignore"):
            out = bound(*map(_plain, args), **{key: _plain(v) for key, v in kwargs.items()})
        # Python's own values: tolist() and item().
        return _wrap(out) if isinstance(out, (np.ndarray, np.generic)) else out

    return method


class _State:
    raising = False


def _take(a: Any, indices: Any, axis: Any = None) -> Any:
    return np.take(a, indices, axis=axis, mode="wrap")


def _where(condition: Any, x: Any, y: Any) -> Any:
    out = np.where(condition, x, y)
    return out.astype("float32") if out.dtype.name == "bfloat16" else out


def _matmul(x: Any, y: Any, **kwargs: Any) -> Any:
    _refuse_batched_bfloat16(x, y)
    return np.matmul(x, y, **kwargs)


def _argsort(a: Any, axis: int = -1, kind: Any = None) -> Any:
    if kind not in (None, "stable"):
        raise ValueError(f"kind={kind!r}")
    return np.argsort(a, axis=axis, kind="stable")


def _array(obj: Any, dtype: Any = None, copy: Any = True, **kwargs: Any) -> Any:
    out = np.array(obj, dtype=dtype, copy=None if copy is False else copy, **kwargs)
    if out.dtype.name.startswith("float8"):
        raise ValueError(f"Unsupported dtype {out.dtype}")
    return out


_DIFFERENT: dict[str, Callable[..., Any]] = {
    "cupy.take": _take,
    "cupy.where": _where,
    "cupy.matmul": _matmul,
    "cupy.argsort": _argsort,
}
# They take what lies on the host.
_FROM_HOST = {"cupy.array": _array, "cupy.asarray": _array}


@contextmanager
def _errstate(*, linalg: str) -> Iterator[None]:
    before, _State.raising = _State.raising, linalg == "raise"
    try:
        yield
    finally:
        _State.raising = before


def _add_at(a: Any, indices: Any, b: Any) -> None:
    if a.dtype.name not in _ATOMIC:
        raise TypeError(f"cupy.add.at does not take {a.dtype}")
    np.add.at(_plain(a), _plain(indices) % len(a), _plain(b))


def _asnumpy(a: Any) -> Any:
    return np.array(_plain(a))


def _philox(state: Array, words: Array, size: int) -> None:
    fn = shared_random.kernels(np)["random_bits"].fn
    words[...] = _wrap(fn(_plain(state), (4 * size,), 64))


# What the CUDA text of each kernel computes.
_KERNELS: dict[str, Callable[..., Any]] = {
    "kbackend_erf": lambda x: _wrap(
        np.vectorize(math.erf, otypes=[float])(_plain(x)).astype(x.dtype)
    ),
    "kbackend_erfinv": lambda x: _wrap(
        special.erfinv_double(np, _plain(x).astype("float64").reshape(-1))
        .reshape(x.shape)
        .astype(x.dtype)
    ),
    "kbackend_philox": _philox,
}


class Module:
    """A module whose names and parameters are those of the snapshot."""

    def __init__(self, name: str, target: Any) -> None:
        self._name = name
        self._target = target

    def __getattr__(self, name: str) -> Any:
        full = f"{self._name}.{name}"
        if full not in NAMES:
            raise AttributeError(f"CuPy has no {full}")
        noted = NAMES[full]
        own = {
            "cupy.ndarray": Array,
            "cupy.asnumpy": _asnumpy,
            "cupy.ElementwiseKernel": lambda inputs, outputs, code, name: _KERNELS[name],
            "cupyx.errstate": _errstate,
        }.get(full)
        if own is not None:
            return own
        if noted == "module":
            return Module(full, getattr(self._target, name))
        if not isinstance(noted, list):
            return getattr(self._target, name)
        return self._function(full, name)

    def _function(self, full: str, name: str) -> Callable[..., Any]:
        from_host = _FROM_HOST.get(full)
        fn = from_host or _DIFFERENT.get(full) or getattr(self._target, name)

        def function(*args: Any, **kwargs: Any) -> Any:
            _bind(full, args, kwargs)
            if self._name == "cupy.linalg" and not _State.raising:
                raise RuntimeError(f"{full} would hide its failures")
            if from_host is None:
                args = tuple([_plain(arg) for arg in args])
                kwargs = {key: _plain(value) for key, value in kwargs.items()}
            with np.errstate(all="ignore"):
                return _wrap(fn(*args, **kwargs))

        if f"{full}.at" in NAMES:
            vars(function)["at"] = _add_at
        return function


class StandInEngine(CupyEngine):
    """The CuPy engine on the stand-in."""

    name = "stand_in"
    # Nothing here runs CUDA text, so programs call the table's kernels.
    views = frozenset()
    fusible = frozenset()
    # There are no streams, and there is no memory but the host's.
    capabilities = frozenset()
    upload, take_rows, fetch = Engine.upload, Engine.take_rows, Engine.fetch
    memory_info, limit_memory, free_memory = (
        Engine.memory_info, Engine.limit_memory, Engine.free_memory
    )  # fmt: skip

    def __init__(self) -> None:
        self._cp = Module("cupy", np)
        self._devices = set()
        Engine.__init__(self, table(self._cp, Module("cupyx", None)), {})

    @classmethod
    def probe(cls) -> Probe:
        return Probe(usable=True)

    def prepare(self, name: str, inputs: Any, outputs: Any, params: Any) -> None:
        return None

    def compile(self, program: Program) -> Runner:
        return Interpreter(self, program)
