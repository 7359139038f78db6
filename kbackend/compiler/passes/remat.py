"""Rematerialisation: cheap values are computed again rather than kept over the peak of memory.

A value qualifies if it is needed before and after the peak, if one cheap equation makes it, and if
what that equation takes is there at the later use anyway. So the peak never rises, and fusion may
spare the second copy its memory altogether.
"""

from __future__ import annotations

from collections.abc import Callable

from kbackend.compiler.passes.alive import Alive, is_view
from kbackend.compiler.passes.dce import dce
from kbackend.compiler.passes.inner import everywhere
from kbackend.core.composite import Composite
from kbackend.core.primitive import Primitive
from kbackend.ir.cost import nbytes
from kbackend.ir.graph import Eqn, Graph, Substitution, Var
from kbackend.ir.trace import body_graph

# Elementwise primitives that cost little more than reading and writing memory.
_CHEAP = frozenset(
    "neg abs sign floor ceil round cast bitcast add sub mul maximum minimum eq ne lt le select "
    "isfinite bitwise_and bitwise_or bitwise_xor shift_left shift_right".split()
)
# Values are recomputed only if the peak falls by that part of it in the end,
_WORTH = 0.03
# one after the other, the largest at the current peak first.
_MOST = 16


@everywhere
def remat(graph: Graph, fusible: Callable[[Eqn], bool]) -> Graph:
    """The graph with cheap values computed again where that lowers the peak of memory.

    Args:
        graph: any graph.
        fusible: whether the engine runs a composite as part of a region.
    """
    first = alive = Alive(graph)
    found = graph
    for _ in range(_MOST):
        changed = _one_less(found, alive, fusible)
        if changed is None:
            break
        now = Alive(changed)
        if now.peak > alive.peak:
            break
        found, alive = changed, now
    # Where all uses are late, the first copy is dead.
    return dce(found) if alive.peak <= (1 - _WORTH) * first.peak else graph


def _one_less(graph: Graph, alive: Alive, fusible: Callable[[Eqn], bool]) -> Graph | None:
    """The graph with one value less at its peak, if there is one that qualifies."""
    if not graph.eqns:
        return None
    peak = alive.bytes.index(alive.peak)
    best: tuple[int, Eqn, int] | None = None
    for eqn in graph.eqns[:peak]:
        again = _again(eqn, alive, peak) if _cheap(eqn, fusible) else None
        if again is not None and (best is None or nbytes(eqn.outputs[0].aval) > best[0]):
            best = nbytes(eqn.outputs[0].aval), eqn, again
    return None if best is None else _with(graph, best[1], best[2])


def _cheap(eqn: Eqn, fusible: Callable[[Eqn], bool]) -> bool:
    if isinstance(eqn.op, Primitive):
        return eqn.op.name in _CHEAP
    return isinstance(eqn.op, Composite) and fusible(eqn) and _cheap_inside(eqn)


def _cheap_inside(eqn: Eqn) -> bool:
    """Whether a composite is made of nothing but cheap equations."""
    if isinstance(eqn.op, Composite):
        body = body_graph(eqn.op, tuple([a.aval for a in eqn.inputs]), dict(eqn.params)).graph
        return all(map(_cheap_inside, body.eqns))
    return eqn.op.name in _CHEAP or eqn.op.kind in ("movement", "create")


def _again(eqn: Eqn, alive: Alive, peak: int) -> int | None:
    """The first equation behind the peak that needs the result, if that can be computed there."""
    out = eqn.outputs[0]
    uses = alive.uses.get(out, [])
    late = next((number for number in uses if number > peak), None)
    if out in alive.kept or late is None or peak in uses:
        return None
    return late if all(alive.until(atom, late) for atom in eqn.inputs) else None


def _with(graph: Graph, eqn: Eqn, late: int) -> Graph:
    """The graph with `eqn` repeated before equation `late`, for it and those behind it."""
    replaced = Substitution()
    eqns = list(graph.eqns[:late])

    def repeat(old: Eqn) -> Eqn:
        fresh = old._replace(outputs=tuple([Var(var.aval) for var in old.outputs]))
        for before, after in zip(old.outputs, fresh.outputs, strict=True):
            replaced[before] = after
        return fresh

    eqns.append(repeat(eqn))
    # Views of the first copy would keep it alive.
    shown = set(eqn.outputs)
    for old in graph.eqns[:late]:
        if is_view(old) and old.inputs[0] in shown:
            shown.update(old.outputs)
            eqns.append(repeat(replaced.eqn(old)))
    eqns += [replaced.eqn(old) for old in graph.eqns[late:]]
    return graph.replace(eqns)
