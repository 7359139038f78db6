"""`bind`: the one place where every primitive is applied.

A concrete call runs the engine's kernel and shows it to the active tapes. A symbolic argument takes
the call over: it infers the result (functional models) or records an equation (compilation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, Protocol

from kbackend.base.errors import EngineError, PrimitiveError
from kbackend.core.aval import Aval
from kbackend.core.primitive import Primitive
from kbackend.core.tensor import Tensor
from kbackend.engine.interface import Engine
from kbackend.engine.loader import current_engine


class Differentiable(Protocol):
    """What a tape can differentiate: a primitive, a composite, a custom function."""

    @property
    def differentiable(self) -> bool: ...

    def backward(
        self,
        needs: Sequence[bool],
        g: Any,
        result: Any,
        args: Sequence[Any],
        params: dict[str, Any],
    ) -> Sequence[Any]: ...


class Recorder(Protocol):
    """A tape, or anything else that wants to see what is applied."""

    def accessed(self, variable: Any, value: Any) -> None: ...

    def follows(self, value: Any) -> bool: ...

    def record(
        self,
        op: Differentiable,
        args: Sequence[Any],
        results: tuple[Any, ...],
        params: dict[str, Any],
    ) -> None: ...


class Symbolic:
    """Base of values with an aval but no data. They decide what applying an op to them means."""

    __slots__ = ()
    aval: Aval

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The result of applying `primitive` to `args`, of which `self` is one."""
        raise PrimitiveError(f"{type(self).__name__} does not say how to process a primitive.")

    def alias(self) -> Any:
        """Another symbolic value for the same thing, which no tape has seen."""
        raise PrimitiveError(f"{type(self).__name__} does not implement alias().")

    def detached(self) -> Any:
        """The same thing, through which no gradient flows."""
        return self.alias()

    def barrier(self) -> Any:
        """The same value, such that what is computed from it is not shared with anything else."""
        return self.alias()

    def process_composite(self, composite: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The result of applying a composite; its body serves unless a trace keeps it whole."""
        return composite.body(*args, **params)


# The tapes that watch this thread (or task), outermost first.
_tapes: ContextVar[tuple[Recorder, ...]] = ContextVar("kbackend_tapes", default=())
# Makes a symbolic value out of an aval, while shapes are being inferred.
_abstract: ContextVar[Callable[[Aval], Any] | None] = ContextVar("kbackend_abstract", default=None)

_get_tapes = _tapes.get
active_tapes = _get_tapes
abstract_maker = _abstract.get


def push_recorder(recorder: Recorder) -> Token[tuple[Recorder, ...]]:
    """From here on every op applied is shown to `recorder` as well."""
    return _tapes.set((*_get_tapes(), recorder))


def pop_recorder(token: Token[tuple[Recorder, ...]]) -> None:
    """Undoes the `push_recorder` that returned `token`."""
    _tapes.reset(token)


@contextmanager
def not_recording(*recorders: Recorder) -> Iterator[None]:
    """Hides what is applied inside from the given tapes, or from all of them."""
    kept = tuple(t for t in _get_tapes() if t not in recorders) if recorders else ()
    token = _tapes.set(kept)
    try:
        yield
    finally:
        _tapes.reset(token)


@contextmanager
def recording(recorders: tuple[Recorder, ...]) -> Iterator[None]:
    """Shows what is applied inside to the given recorders and to no others."""
    token = _tapes.set(recorders)
    try:
        yield
    finally:
        _tapes.reset(token)


@contextmanager
def abstract_values(maker: Callable[[Aval], Any] | None) -> Iterator[None]:
    """Lets creation ops with unknown dimensions succeed, with `maker` making their results.

    `None` ends that: inside, results have values again.
    """
    token = _abstract.set(maker)
    try:
        yield
    finally:
        _abstract.reset(token)


def bind(primitive: Primitive, *args: Any, **params: Any) -> Any:
    """Applies `primitive`.

    Args:
        primitive: what to apply.
        *args: Tensors, or symbolic values, or a mix; all Tensors on one engine.
        **params: hashable parameters.

    Returns:
        A Tensor (or symbolic value), or a tuple of them for primitives with several results.
    """
    engine: Engine | None = None
    arrays = []
    for arg in args:
        if arg.__class__ is not Tensor:
            return _bind_symbolic(primitive, args, params)
        arrays.append(arg.array)
        if engine is None:
            engine = arg.engine
        elif arg.engine is not engine:
            raise _mixed_engines(primitive, args)
    if engine is None:
        engine = current_engine()
    try:
        out = engine.kernels[primitive.name](*arrays, **params)
    except Exception as error:
        raise _explain(primitive, engine, args, params, error) from error
    if primitive.multiple_results:
        results = tuple([Tensor(array, engine) for array in out])
        tapes = _get_tapes()
        if tapes:
            for tape in tapes:
                tape.record(primitive, args, results, params)
        return results
    result = Tensor(out, engine)
    tapes = _get_tapes()
    if tapes:
        for tape in tapes:
            tape.record(primitive, args, (result,), params)
    return result


def _bind_symbolic(primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    for arg in args:
        if isinstance(arg, Symbolic):
            out = arg.process(primitive, args, params)
            for tape in _get_tapes():
                tape.record(primitive, args, out if primitive.multiple_results else (out,), params)
            return out
    kinds = ", ".join(type(arg).__name__ for arg in args)
    raise PrimitiveError(
        f"[{primitive.name}] takes tensors. Received: {kinds}. Convert with ops.convert_to_tensor."
    )


def bind_abstract(primitive: Primitive, params: dict[str, Any], avals: Sequence[Aval] = ()) -> Any:
    """Applies a creation primitive whose shape has unknown dimensions."""
    maker = _abstract.get()
    if maker is None:
        raise PrimitiveError(
            f"[{primitive.name}] can't create a tensor with unknown dimensions. Received: "
            f"{params.get('shape')}. Use ops.shape(x) of a concrete tensor instead."
        )
    return maker(primitive.infer(avals, params))


def _mixed_engines(primitive: Primitive, args: Sequence[Any]) -> EngineError:
    names = ", ".join(arg.engine.name for arg in args if isinstance(arg, Tensor))
    return EngineError(
        f"[{primitive.name}] arguments live on different engines: {names}. Move one with "
        "x.to_engine(name), or make both under one kbackend.use_backend(name)."
    )


def _explain(
    primitive: Primitive,
    engine: Engine,
    args: Sequence[Any],
    params: dict[str, Any],
    error: Exception,
) -> Exception:
    """The error to show for a kernel that failed: the shape rule's, if it finds a fault."""
    if primitive.name not in engine.kernels:
        return EngineError(
            f"The engine '{engine.name}' has no kernel for the primitive '{primitive.name}'."
        )
    try:
        primitive.infer([arg.aval for arg in args], params)
    except (ValueError, TypeError) as fault:
        return fault
    return error
