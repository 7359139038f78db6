"""What operations belong together in a region: the indices they run over, and what they may take.

The rules are those of `kbackend.engine.program.Region`, told of equations. In a graph a kept value
may also lack the reduced dimensions, or be reshaped to have or lack them; that changes nothing in
memory, so such equations belong to the region, too.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from kbackend.core.composite import Composite
from kbackend.core.primitive import Primitive
from kbackend.engine.program import REDUCTIONS, Ints, trailing
from kbackend.ir.graph import Atom, Eqn


class Domain(NamedTuple):
    """The indices that a region runs over.

    Attributes:
        shape: dimensions.
        axes: those that its reductions reduce, in ascending order; () if there are none.
    """

    shape: Ints
    axes: Ints = ()

    @property
    def kept(self) -> Ints:
        """The shape of a value that is reduced."""
        return tuple([1 if i in self.axes else dim for i, dim in enumerate(self.shape)])

    @property
    def squeezed(self) -> Ints:
        """The same without the reduced dimensions."""
        return tuple([dim for i, dim in enumerate(self.shape) if i not in self.axes])

    @property
    def by_rows(self) -> bool:
        """Whether values that are reduced may be used inside; see `Region`."""
        return trailing(self.axes, len(self.shape))

    def joined(self, other: Domain) -> Domain | None:
        """The domain of a region that holds what belongs to either, or `None` if there is none."""
        if self.shape == other.shape:
            if self.axes and other.axes and self.axes != other.axes:
                return None
            return self if self.axes else other
        if self.holds(other):
            return self
        return other if other.holds(self) else None

    def holds(self, other: Domain) -> bool:
        """Whether the other's values are kept values here."""
        return self.by_rows and not other.axes and other.shape in (self.kept, self.squeezed)

    def allows(self, eqn: Eqn, atom: Atom) -> bool:
        """Whether an equation of the region may take a value that is made in it."""
        shape: Ints = atom.aval.shape  # type: ignore[assignment]
        if shape == self.shape:
            return True
        if not self.by_rows:
            return False
        out: Any = eqn.outputs[0].aval.shape
        wanted: Ints = self.kept if out == self.shape else out
        return eqn.op.name == "reshape" or shape == wanted


def domain_of(eqn: Eqn) -> Domain | None:
    """The domain of an equation by itself, if it can be part of a region.

    Composites may be as elementwise as primitives; the engine has to say so.
    """
    if isinstance(eqn.op, Composite) or is_elementwise(eqn):
        return Domain(eqn.outputs[0].aval.shape)  # type: ignore[arg-type]
    if not is_reduction(eqn):
        return None
    shape: Any = eqn.inputs[0].aval.shape
    axes = tuple(sorted(eqn.params["axes"]))
    # One element a row is no reduction, but a movement.
    return Domain(shape, axes) if prod(shape[i] for i in axes) != 1 else None


def is_elementwise(eqn: Eqn) -> bool:
    """Whether it is an elementwise primitive."""
    return isinstance(eqn.op, Primitive) and eqn.op.kind == "elementwise"


def is_reduction(eqn: Eqn) -> bool:
    """Whether it is a reduction that regions may hold."""
    return isinstance(eqn.op, Primitive) and eqn.op.name in REDUCTIONS
