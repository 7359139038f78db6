"""Primitives: a name, a kind, a shape rule and a gradient rule.

`lang.py` creates them; the family files in `kbackend/prim` attach the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from kbackend.base.errors import PrimitiveError
from kbackend.core.aval import Aval

Kind = Literal[
    "elementwise", "reduce", "movement", "create", "index", "contract", "conv", "window",
    "scan", "sort", "random", "linalg",
]  # fmt: skip

# (cotangent of the result, result, *arguments, **parameters) -> cotangent of one argument
ArgVJP = Callable[..., Any]


class _NoGradient:
    """Declares that a primitive has no gradient (its result is discrete or it is never needed)."""

    def __repr__(self) -> str:
        return "NO_GRADIENT"


NO_GRADIENT = _NoGradient()

PRIMITIVES: dict[str, Primitive] = {}


class Primitive:
    """One operation of the vocabulary that every engine implements.

    Attributes:
        name: unique name, the key in an engine's table.
        kind: family; the compiler reads fusability from it.
        multiple_results: whether the kernel returns a tuple.
        shape_rule: `(*avals, **params) -> Aval` (or a tuple of them).
        vjp_rule: one function per argument, or a function of the argument's position that
            returns one (for a variable number of arguments), or `NO_GRADIENT`.
    """

    __slots__ = ("kind", "multiple_results", "name", "shape_rule", "vjp_rule")

    def __init__(self, name: str, kind: Kind, multiple_results: bool = False) -> None:
        if name in PRIMITIVES:
            raise PrimitiveError(f"The primitive '{name}' is defined twice.")
        self.name = name
        self.kind = kind
        self.multiple_results = multiple_results
        self.shape_rule: Callable[..., Any] | None = None
        self.vjp_rule: Any = None
        PRIMITIVES[name] = self

    def define(
        self,
        shape: Callable[..., Any],
        vjp: Sequence[ArgVJP | None] | Callable[[int], ArgVJP] | _NoGradient,
    ) -> None:
        """Attaches the rules; every primitive is defined exactly once."""
        if self.shape_rule is not None:
            raise PrimitiveError(f"The rules of the primitive '{self.name}' are attached twice.")
        self.shape_rule = shape
        self.vjp_rule = vjp

    @property
    def differentiable(self) -> bool:
        """Whether gradients flow through it."""
        return self.vjp_rule is not NO_GRADIENT

    def infer(self, avals: Sequence[Aval], params: dict[str, Any]) -> Any:
        """The result's aval (a tuple of them for several results).

        Raises:
            ValueError or TypeError: the arguments do not fit, prefixed with the primitive's name.
        """
        if self.shape_rule is None:
            raise PrimitiveError(f"The primitive '{self.name}' has no shape rule.")
        try:
            return self.shape_rule(*avals, **params)
        except (ValueError, TypeError) as error:
            raise type(error)(
                f"[{self.name}] {error} Arguments: {', '.join(map(str, avals)) or 'none'}."
            ) from None

    def backward(
        self,
        needs: Sequence[bool],
        g: Any,
        result: Any,
        args: Sequence[Any],
        params: dict[str, Any],
    ) -> list[Any]:
        """Cotangents of the arguments for which `needs` is true; `None` for the others."""
        rule = self.vjp_rule
        if rule is NO_GRADIENT:
            return [None] * len(args)
        if rule is None:
            raise PrimitiveError(f"The primitive '{self.name}' has no gradient rule.")
        fns = [rule(i) for i in range(len(args))] if callable(rule) else rule
        return [
            fn(g, result, *args, **params) if need and fn is not None else None
            for need, fn in zip(needs, fns, strict=True)
        ]

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"


def family(kind: Kind, *names: str) -> list[Primitive]:
    """New primitives of one kind."""
    return [Primitive(name, kind) for name in names]
