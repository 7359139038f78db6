"""Common subexpressions: what is computed twice from the same values is computed once.

Random bits are no exception: they are a function of their state, and different states are
different values.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from kbackend.compiler.passes.inner import everywhere
from kbackend.ir.graph import Atom, Eqn, Graph, Lit, Substitution

# Literals of at most so many elements are compared by their bits, larger ones by identity.
_SMALL = 16


@everywhere
def cse(graph: Graph) -> Graph:
    """The graph without equations that repeat an earlier one."""
    first: dict[Hashable, Eqn] = {}
    replaced = Substitution()
    literals: dict[int, Hashable] = {}
    eqns: list[Eqn] = []
    for eqn in graph.eqns:
        eqn = replaced.eqn(eqn)
        key = _key(eqn, literals)
        earlier = None if key is None else first.setdefault(key, eqn)
        if earlier is None or earlier is eqn:
            eqns.append(eqn)
            continue
        for var, same in zip(eqn.outputs, earlier.outputs, strict=True):
            replaced[var] = same
    if len(eqns) == len(graph.eqns):
        return graph
    return graph.replace(eqns, [replaced(atom) for atom in graph.outputs])


def _key(eqn: Eqn, literals: dict[int, Hashable]) -> Hashable:
    """What two equations that compute the same have in common; `None` if that can't be told."""
    inputs = tuple([_atom(atom, literals) for atom in eqn.inputs])
    try:
        params = tuple(sorted([(name, exact(value)) for name, value in eqn.params.items()]))
        key = (id(eqn.op), inputs, params)
        hash(key)
    except TypeError:
        return None
    return key


def _atom(atom: Atom, literals: dict[int, Hashable]) -> Hashable:
    if atom.__class__ is not Lit:
        return id(atom)
    value = atom.value
    known = literals.get(id(value))
    if known is None:
        known = id(value)
        if value.size <= _SMALL:
            known = (value.shape, value.dtype, np.asarray(value).tobytes())
        literals[id(value)] = known
    return known


def exact(value: Any) -> Hashable:
    """A key that is equal for equal parameters only: 1, 1.0 and True differ, and 0.0 and -0.0."""
    if isinstance(value, tuple):
        return ("tuple", *map(exact, value))
    written = isinstance(value, float | complex | np.generic)
    return (value.__class__.__name__, repr(value) if written else value)
