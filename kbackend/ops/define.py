"""`op`: makes a composition of primitives a function of `keras.ops`.

Written once, an op computes on tensors, infers shapes on KerasTensors by running its own body on
them, and becomes a node of a functional model.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from kbackend.base.naming import auto_name
from kbackend.core.bind import abstract_maker
from kbackend.core.tensor import Tensor
from kbackend.ops.keras_tensor import KerasTensor
from kbackend.ops.operation import Operation

F = TypeVar("F", bound=Callable[..., Any])

# name -> the op's body, so that a saved model can find it again
OPS: dict[str, Callable[..., Any]] = {}


class OpCall(Operation):
    """An op in a functional model: the function with the arguments that are not tensors.

    Args:
        op: name of the op.
        name: name of the operation in its model.
        **static: the arguments that are part of the operation, by parameter name.
    """

    def __init__(self, op: str, name: str | None = None, **static: Any) -> None:
        if op not in OPS:
            raise ValueError(f"[OpCall] there is no op called {op!r} in kbackend.ops.")
        super().__init__(name=name or auto_name(op))
        self.op = op
        self.static = static
        self._body = OPS[op]

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the op."""
        return self._body(*args, **kwargs, **self.static)

    def get_config(self) -> dict[str, Any]:
        """Name of the op and its static arguments."""
        return {"op": self.op, "name": self.name, **self.static}


def op(static: tuple[str, ...] = (), tensors: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Decorator for the functions of `keras.ops` that take tensors.

    Args:
        static: parameters without a default that are settings, not tensors (`axis`).
        tensors: parameters with a default that are tensors.

    Returns:
        The decorator.
    """

    def wrap(fn: F) -> F:
        name = fn.__name__
        parameters = inspect.signature(fn).parameters.values()
        settings = frozenset(
            p.name
            for p in parameters
            if p.name in static or (p.default is not p.empty and p.name not in tensors)
        )
        OPS[name] = fn

        @functools.wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            for arg in args:
                if arg.__class__ is not Tensor and _symbolic(arg) and abstract_maker() is None:
                    return _node(fn, settings, args, kwargs)
            if kwargs and abstract_maker() is None and any(map(_symbolic, kwargs.values())):
                return _node(fn, settings, args, kwargs)
            return fn(*args, **kwargs)

        return wrapped  # type: ignore[return-value]

    return wrap


def _symbolic(value: Any) -> bool:
    """Whether `value` is a KerasTensor, or a list that holds one."""
    cls = value.__class__
    if cls is KerasTensor:
        return True
    if cls is list or cls is tuple:
        return any(map(_symbolic, value))
    return cls is dict and any(map(_symbolic, value.values()))


def _node(
    fn: Callable[..., Any], settings: frozenset[str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The op as a node of a functional model: tensors are call arguments, the rest is static."""
    bound = inspect.signature(fn).bind(*args, **kwargs)
    static: dict[str, Any] = {}
    call_args: list[Any] = []
    call_kwargs: dict[str, Any] = {}
    skipped = False  # what follows a parameter left out goes by name
    for name, parameter in bound.signature.parameters.items():
        if name not in bound.arguments:
            skipped = True
            continue
        value = bound.arguments[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            call_args.extend(value)
        elif parameter.kind is parameter.VAR_KEYWORD:
            static.update(value)
        elif name in settings and not _symbolic(value):
            static[name] = value
        elif static or call_kwargs or skipped:
            call_kwargs[name] = value
        else:
            call_args.append(value)
    return OpCall(fn.__name__, **static).symbolic_call(*call_args, **call_kwargs)
