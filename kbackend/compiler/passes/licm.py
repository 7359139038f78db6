"""Loop-invariant motion: what is the same in every step of a loop is computed once, before it.

An equation of a body that depends on the loop's constants only moves out, and its results become
further constants. Movements and fillings stay, where nothing else that moves needs them: they are
free where they are. A carry that no step changes is a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kbackend.compiler.passes.inner import everywhere
from kbackend.ir.barrier import BARRIER
from kbackend.ir.control import SCAN, WHILE
from kbackend.ir.graph import Atom, Eqn, Graph, Lit, Substitution, Var

_FREE = frozenset(("reshape", "transpose", "broadcast_to", "slice", "rev", "full", "iota"))


@everywhere
def licm(graph: Graph) -> Graph:
    """The graph with loops that do no more in each step than they have to."""
    eqns: list[Eqn] = []
    replaced = Substitution()
    for eqn in graph.eqns:
        eqn = replaced.eqn(eqn)
        if eqn.op is SCAN:
            moved, eqn = _from_scan(_without_still_carries(eqn, replaced))
            eqns += moved
        elif eqn.op is WHILE:
            moved, eqn = _from_while(eqn)
            eqns += moved
        eqns.append(eqn)
    if len(eqns) == len(graph.eqns):
        return graph
    return graph.replace(eqns, [replaced(atom) for atom in graph.outputs])


class _Split(NamedTuple):
    """A body taken apart.

    Attributes:
        moved: equations for the graph around.
        atoms: what the graph around hands in as further constants.
        body: what is left, with further inputs behind its constants.
    """

    moved: list[Eqn]
    atoms: tuple[Atom, ...]
    body: Graph


def _split(body: Graph, constants: Sequence[Atom], certain: bool = True) -> _Split:
    """A body without what depends on constants only.

    Args:
        body: a graph whose first inputs are the constants.
        constants: what they are in the graph around.
        certain: whether the body runs at all; else what may fail stays inside.
    """
    around: dict[Var, Atom] = dict(zip(body.inputs, constants, strict=False))
    same = set(around)
    still = [eqn for eqn in body.eqns if _is_still(eqn, same, certain)]
    needed: set[Atom] = set()
    moved: list[Eqn] = []
    for eqn in reversed(still):
        if eqn.op.name not in _FREE or not needed.isdisjoint(eqn.outputs):
            moved.append(eqn)
            needed.update(eqn.inputs)
    # Outside, variables are others: what is free stays inside as well.
    outside: list[Eqn] = []
    for eqn in reversed(moved):
        inputs = tuple([atom if isinstance(atom, Lit) else around[atom] for atom in eqn.inputs])
        fresh = tuple([Var(var.aval) for var in eqn.outputs])
        around.update(zip(eqn.outputs, fresh, strict=True))
        outside.append(eqn._replace(inputs=inputs, outputs=fresh))
    gone = {eqn.outputs[0] for eqn in moved if eqn.op.name not in _FREE}
    left = [eqn for eqn in body.eqns if eqn.outputs[0] not in gone]
    taken = {atom for eqn in left for atom in eqn.inputs} | set(body.outputs)
    results = [v for eqn in moved if eqn.outputs[0] in gone for v in eqn.outputs if v in taken]
    if not results:
        return _Split([], (), body)
    first = len(constants)
    graph = body.replace(left, inputs=[*body.inputs[:first], *results, *body.inputs[first:]])
    return _Split(outside, tuple([around[var] for var in results]), graph)


def _is_still(eqn: Eqn, same: set[Var], certain: bool) -> bool:
    """Whether an equation computes the same in each step; adds its results to `same` then."""
    if eqn.op is BARRIER or not all(isinstance(a, Lit) or a in same for a in eqn.inputs):
        return False
    if not certain and getattr(eqn.op, "kind", "") == "linalg":
        return False
    same.update(eqn.outputs)
    return True


def _from_scan(eqn: Eqn) -> tuple[list[Eqn], Eqn]:
    params = dict(eqn.params)
    count = params["constants"]
    moved, atoms, body = _split(params["body"], eqn.inputs[:count])
    params |= {"body": body, "constants": count + len(atoms)}
    inputs = (*eqn.inputs[:count], *atoms, *eqn.inputs[count:])
    return moved, eqn._replace(inputs=inputs, params=params) if atoms else eqn


def _from_while(eqn: Eqn) -> tuple[list[Eqn], Eqn]:
    params = dict(eqn.params)
    first, second = params["constants"]
    of_condition, of_body = eqn.inputs[:first], eqn.inputs[first : first + second]
    # The condition runs at least once unless the limit is 0; the body may never run.
    before, further, condition = _split(params["condition"], of_condition, certain=False)
    moved, atoms, body = _split(params["body"], of_body, certain=False)
    if not further and not atoms:
        return [], eqn
    params |= {
        "condition": condition,
        "body": body,
        "constants": (first + len(further), second + len(atoms)),
    }
    inputs = (*of_condition, *further, *of_body, *atoms, *eqn.inputs[first + second :])
    return before + moved, eqn._replace(inputs=inputs, params=params)


def _without_still_carries(eqn: Eqn, replaced: Substitution) -> Eqn:
    """The scan with carries that no step changes among its constants."""
    params = dict(eqn.params)
    body, first, carries = params["body"], params["constants"], params["carries"]
    entering = body.inputs[first : first + carries]
    moves = [out is not var for out, var in zip(body.outputs, entering, strict=False)]
    if all(moves):
        return eqn
    given = eqn.inputs[first : first + carries]
    for var, atom, changes in zip(eqn.outputs, given, moves, strict=False):
        if not changes:
            replaced[var] = atom

    def ordered(fixed: Sequence[Atom], state: Sequence[Atom], rows: Sequence[Atom]) -> list[Atom]:
        stays = [atom for atom, changes in zip(state, moves, strict=True) if not changes]
        return [*fixed, *stays, *_chosen(state, moves), *rows]

    last = first + carries
    inner = body.inputs
    params |= {
        "body": body.replace(
            outputs=[*_chosen(body.outputs[:carries], moves), *body.outputs[carries:]],
            inputs=ordered(inner[:first], entering, inner[last:]),
        ),
        "constants": first + moves.count(False),
        "carries": moves.count(True),
    }
    return eqn._replace(
        inputs=tuple(ordered(eqn.inputs[:first], given, eqn.inputs[last:])),
        outputs=(*_chosen(eqn.outputs[:carries], moves), *eqn.outputs[carries:]),  # type: ignore[arg-type]
        params=params,
    )


def _chosen(atoms: Sequence[Atom], flags: Sequence[bool]) -> list[Atom]:
    return [atom for atom, flag in zip(atoms, flags, strict=True) if flag]
