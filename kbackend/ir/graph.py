"""The four types of the intermediate representation: `Var`, `Lit`, `Eqn` and `Graph`.

A graph is in single assignment form: every variable is defined once, by an input or an equation,
before it is used. Graphs and equations never change; passes make new ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from kbackend.core.aval import Aval
from kbackend.core.tensor import Tensor


class Op(Protocol):
    """What an equation applies: a primitive, a composite, or an op with graphs inside."""

    @property
    def name(self) -> str: ...


class Var:
    """A value that is computed; two are the same only if they are one object."""

    __slots__ = ("aval",)

    def __init__(self, aval: Aval) -> None:
        self.aval = aval

    def __repr__(self) -> str:
        return f"<Var {self.aval}>"


class Lit:
    """A value that is known: a tensor that was there when the function was traced."""

    __slots__ = ("aval", "value")

    def __init__(self, value: Tensor) -> None:
        self.value = value
        self.aval = value.aval

    def __repr__(self) -> str:
        return f"<Lit {self.aval}>"


Atom = Var | Lit


class Source(NamedTuple):
    """Where an equation comes from.

    Attributes:
        layer: path of the layer that was being called, "" outside of layers.
        line: `file:line` of the user's code, "" if unknown.
    """

    layer: str = ""
    line: str = ""

    def __str__(self) -> str:
        return ", ".join(part for part in self if part)


NOWHERE = Source()


class Eqn(NamedTuple):
    """One application of an op.

    Attributes:
        op: primitive, composite, or an op with graphs among its parameters.
        inputs: its arguments.
        outputs: the variables that it defines.
        params: its parameters.
        source: where it comes from.
    """

    op: Any
    inputs: tuple[Atom, ...]
    outputs: tuple[Var, ...]
    params: Mapping[str, Any]
    source: Source = NOWHERE


@dataclass(frozen=True, eq=False)
class Graph:
    """A computation.

    Attributes:
        inputs: variables that are handed in.
        eqns: equations, in an order in which they can be run.
        outputs: variables and literals that are handed out.
        name: what is computed.
    """

    inputs: tuple[Var, ...]
    eqns: tuple[Eqn, ...]
    outputs: tuple[Atom, ...]
    name: str = "graph"
    # Places for what is derived from the graph once, such as a compiled program.
    _memo: dict[Any, Any] = field(default_factory=dict, repr=False)

    def replace(
        self,
        eqns: Sequence[Eqn] | None = None,
        outputs: Sequence[Atom] | None = None,
        inputs: Sequence[Var] | None = None,
    ) -> Graph:
        """A graph with other equations, outputs or inputs."""
        return Graph(
            self.inputs if inputs is None else tuple(inputs),
            self.eqns if eqns is None else tuple(eqns),
            self.outputs if outputs is None else tuple(outputs),
            self.name,
        )

    def with_inputs(self, avals: Sequence[Aval]) -> Graph:
        """The graph with further inputs, which nothing reads."""
        return self.replace(inputs=(*self.inputs, *[Var(aval) for aval in avals]))

    @property
    def in_avals(self) -> tuple[Aval, ...]:
        """Avals of the inputs."""
        return tuple([v.aval for v in self.inputs])

    @property
    def out_avals(self) -> tuple[Aval, ...]:
        """Avals of the outputs."""
        return tuple([v.aval for v in self.outputs])


def subgraphs(eqn: Eqn) -> Iterator[tuple[str, Graph]]:
    """The graphs among an equation's parameters, with the names of the parameters."""
    for name, value in eqn.params.items():
        if isinstance(value, Graph):
            yield name, value
        elif isinstance(value, tuple):
            for item in value:
                if isinstance(item, Graph):
                    yield name, item


class Substitution:
    """Variables replaced by other atoms; follows replacements of replacements."""

    def __init__(self) -> None:
        self._atoms: dict[Var, Atom] = {}

    def __setitem__(self, var: Var, atom: Atom) -> None:
        self._atoms[var] = self(atom)

    def __call__(self, atom: Atom) -> Atom:
        return self._atoms.get(atom, atom) if atom.__class__ is Var else atom

    def eqn(self, eqn: Eqn) -> Eqn:
        """The equation with its inputs replaced."""
        if not self._atoms:
            return eqn
        return eqn._replace(inputs=tuple([self(atom) for atom in eqn.inputs]))
