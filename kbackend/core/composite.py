"""Composites: named compositions of primitives that an engine may run in one kernel.

A composite has a body written with binders. An engine that lists a kernel under its name runs that
kernel; all others run the body. Its gradient is its own rule if it has one, else the body's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kbackend.base.errors import PrimitiveError
from kbackend.core.bind import Symbolic, active_tapes, not_recording
from kbackend.core.tensor import Tensor

COMPOSITES: dict[str, Composite] = {}

# (needs, cotangent(s), result(s), *arguments, **parameters) -> one cotangent or None per argument
JointVJP = Callable[..., Sequence[Any]]


class Composite:
    """A named composition. Tensors are positional, parameters keyword-only and hashable.

    Attributes:
        name: unique name, the key in an engine's table of composites.
        body: the composition of primitives that defines it.
        vjp: the joint gradient rule, or `None` to differentiate the body.
        repeats: the composite whose work the body does again, if there is one. An engine that runs
            the body does both bodies' common work once.
    """

    __slots__ = ("body", "name", "repeats", "vjp")
    differentiable = True

    def __init__(self, name: str, body: Callable[..., Any]) -> None:
        if name in COMPOSITES:
            raise PrimitiveError(f"The composite '{name}' is defined twice.")
        self.name = name
        self.body = body
        self.vjp: JointVJP | None = None
        self.repeats: Composite | None = None
        COMPOSITES[name] = self

    def def_vjp(self, rule: JointVJP) -> JointVJP:
        """Decorator that attaches the gradient rule.

        The rule is called as `rule(needs, g, result, *args, **params)` and returns one cotangent
        per argument, `None` where it is not needed. It is written with binders and composites, so
        that it can be differentiated again.
        """
        self.vjp = rule
        return rule

    def backward(
        self,
        needs: Sequence[bool],
        g: Any,
        result: Any,
        args: Sequence[Any],
        params: dict[str, Any],
    ) -> Sequence[Any]:
        """Cotangents of the arguments, by the composite's own rule."""
        if self.vjp is None:
            raise PrimitiveError(f"The composite '{self.name}' has no gradient rule of its own.")
        return self.vjp(needs, g, result, *args, **params)

    def __call__(self, *args: Any, **params: Any) -> Any:
        engine: Any = None
        for arg in args:
            if arg.__class__ is not Tensor:
                if isinstance(arg, Symbolic):
                    return arg.process_composite(self, args, params)
                return self.body(*args, **params)
            engine = arg.engine
        kernel = None if engine is None else engine.composites.get(self.name)
        tapes = active_tapes()
        if tapes and self.vjp is None:
            # Without a rule of its own the tapes need to see the body's primitives.
            return self.body(*args, **params)
        out: Any = NotImplemented
        if (
            kernel is not None
            and (kernel.dtypes is None or args[0].dtype in kernel.dtypes)
            and all([arg.engine is engine for arg in args])
        ):
            out = kernel.fn(*[arg.array for arg in args], **params)
        result: Any
        if out.__class__ is tuple:
            result = tuple([Tensor(array, engine) for array in out])
        elif out is not NotImplemented:
            result = Tensor(out, engine)
        elif tapes:
            with not_recording():
                result = self.body(*args, **params)
        else:
            return self.body(*args, **params)
        if tapes:
            results = result if result.__class__ is tuple else (result,)
            for tape in tapes:
                tape.record(self, args, results, params)
        return result

    def __repr__(self) -> str:
        return f"<composite {self.name}>"


def composite(name: str) -> Callable[[Callable[..., Any]], Composite]:
    """Decorator that makes a composition a `Composite` under `name`."""

    return lambda body: Composite(name, body)
