"""Constant folding: what depends on literals only is computed once, before the program runs.

A `full` or `broadcast_to` operand of an elementwise equation whose other operands have the whole
shape becomes the scalar, or the smaller operand, that it shows everywhere: elementwise operations
broadcast by themselves.
"""

from __future__ import annotations

from kbackend.base.shapes import broadcast
from kbackend.compiler.passes.inner import everywhere
from kbackend.core.bind import recording
from kbackend.core.primitive import Primitive
from kbackend.ir.cost import nbytes
from kbackend.ir.eval import apply
from kbackend.ir.graph import Atom, Eqn, Graph, Lit, Substitution, Var

# Larger results are computed in each run: as literals they would only take memory.
_LIMIT = 1 << 12


@everywhere
def fold(graph: Graph) -> Graph:
    """The graph with literals in place of what can be computed beforehand."""
    known = Substitution()
    shown: dict[Var, Eqn] = {}
    eqns: list[Eqn] = []
    for eqn in graph.eqns:
        eqn = _without_spreading(known.eqn(eqn), shown)
        values = _computed(eqn)
        if values is not None:
            for var, value in zip(eqn.outputs, values, strict=True):
                known[var] = value
            continue
        if eqn.op.__class__ is Primitive and eqn.op.name in ("full", "broadcast_to"):
            shown[eqn.outputs[0]] = eqn
        eqns.append(eqn)
    return graph.replace(eqns, [known(atom) for atom in graph.outputs])


def _computed(eqn: Eqn) -> list[Lit] | None:
    """The equation's results, if they can be known and are small."""
    op = eqn.op
    if op.__class__ is not Primitive or op.kind == "random":
        return None
    if any(atom.__class__ is Var for atom in eqn.inputs):
        return None
    if sum(nbytes(var.aval) for var in eqn.outputs) > _LIMIT:
        return None
    if op.name == "full" and eqn.outputs[0].aval.shape:
        # Programs show its one element everywhere, which takes less memory than a literal.
        return None
    try:
        with recording(()):
            return [Lit(tensor) for tensor in apply(eqn, [a.value for a in eqn.inputs])]  # type: ignore[union-attr]
    except Exception:
        # It will fail again when the program runs, which tells where the equation comes from.
        return None


def _without_spreading(eqn: Eqn, shown: dict[Var, Eqn]) -> Eqn:
    """The elementwise equation with operands as they were before they were spread."""
    if eqn.op.__class__ is not Primitive or eqn.op.kind != "elementwise":
        return eqn
    inputs = list(eqn.inputs)
    for position, atom in enumerate(inputs):
        maker = shown.get(atom) if atom.__class__ is Var else None
        if maker is None:
            continue
        others = [a.aval.shape for i, a in enumerate(inputs) if i != position]
        source = _source(maker)
        if broadcast(*others, source.aval.shape) == eqn.outputs[0].aval.shape:
            inputs[position] = source
    return eqn._replace(inputs=tuple(inputs))


def _source(maker: Eqn) -> Atom:
    """What the equation shows everywhere."""
    if maker.inputs:
        return maker.inputs[0]
    with recording(()):
        (scalar,) = apply(maker._replace(params={**maker.params, "shape": ()}), ())
    return Lit(scalar)
