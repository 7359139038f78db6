"""How a batch cut into parts shows in what is computed from it: a rule for each kind of op.

A value is `WHOLE` (the same for every part), cut along one of its axes (the axis' number), or
`PARTIAL` (each part has a summand of it). The positions of all rows are needed as `OWN`: each part
counts its rows from 0. A rule is given the forms of an equation's arguments. It
answers with the forms that the op needs them in, where a whole argument may have to be cut, and the
forms of the results; or with `None` if the op can't be done part by part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from kbackend.core.aval import Aval
from kbackend.core.composite import Composite
from kbackend.core.primitive import Primitive
from kbackend.ir.graph import Eqn, Graph, Lit, subgraphs
from kbackend.ir.trace import body_graph

WHOLE = -1
PARTIAL = -2
OWN = -3

Forms = Sequence[int]


class Spread(NamedTuple):
    """What a rule answers.

    Attributes:
        inputs: the forms in which the arguments are needed.
        outputs: the forms of the results.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Zeros:
    """Variables that are known to be zero everywhere."""

    def __init__(self) -> None:
        self._known: set[Any] = set()

    def see(self, eqn: Eqn) -> None:
        """Notes the result of an equation that makes zeros."""
        if eqn.op.name == "full" and not eqn.params["value"]:
            self._known.add(eqn.outputs[0])

    def __contains__(self, atom: object) -> bool:
        return atom in self._known


def spread(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    """How an equation is done part by part.

    Args:
        eqn: the equation.
        forms: of its arguments.
        parts: number of parts.
        zeros: what is known to be zero everywhere.
    """
    if all(form == WHOLE for form in forms):
        return Spread(tuple(forms), (WHOLE,) * len(eqn.outputs))
    if isinstance(eqn.op, Composite):
        found = _composite(eqn, forms, parts)
    elif isinstance(eqn.op, Primitive):
        rule = _RULES.get(eqn.op.name) or _KINDS.get(eqn.op.kind)
        found = None if rule is None else rule(eqn, forms, parts, zeros)
    elif eqn.op.name == "scan":
        found = _scan(eqn, forms, parts)
    elif eqn.op.name == "barrier":
        found = Spread(tuple(forms), tuple(forms))
    else:
        found = None
    if found is None or not _divisible(eqn, found, parts):
        return None
    return found


def _divisible(eqn: Eqn, found: Spread, parts: int) -> bool:
    pairs = [*zip(eqn.inputs, found.inputs, strict=True)]
    pairs += [*zip(eqn.outputs, found.outputs, strict=True)]
    return all(form < 0 or (atom.aval.shape[form] or 1) % parts == 0 for atom, form in pairs)


def part_aval(aval: Aval, form: int, parts: int) -> Aval:
    """Shape and dtype of one part of a value."""
    if form < 0:
        return aval
    shape = list(aval.shape)
    shape[form] = (shape[form] or 0) // parts
    return aval._replace(shape=tuple(shape))


def _composite(eqn: Eqn, forms: Forms, parts: int) -> Spread | None:
    """By the body. Its constants must not depend on the size of the batch, as a mean's would."""
    params = dict(eqn.params)
    avals = tuple([atom.aval for atom in eqn.inputs])
    body = body_graph(eqn.op, avals, params).graph
    if PARTIAL in forms and len(set(forms) - {WHOLE}) > 1:
        return None
    found = through(body, forms, parts) or through(body, _rows_cut(avals, forms), parts)
    if found is None or not _divisible(eqn, found, parts):
        return None
    smaller = [part_aval(a, f, parts) for a, f in zip(avals, found.inputs, strict=True)]
    part = body_graph(eqn.op, tuple(smaller), params).graph
    expected = [
        part_aval(v.aval, f, parts) for v, f in zip(eqn.outputs, found.outputs, strict=True)
    ]
    if list(part.out_avals) != expected or _constants(part) != _constants(body):
        return None
    return found


def _rows_cut(avals: Sequence[Aval], forms: Forms) -> Forms:
    """The forms with whole arguments cut that have a row for each of the batch, as states do."""
    rows = {aval.shape[form] for aval, form in zip(avals, forms, strict=True) if form >= 0}
    return [
        0 if form == WHOLE and aval.shape and aval.shape[0] in rows else form
        for aval, form in zip(avals, forms, strict=True)
    ]


def _constants(graph: Graph) -> list[Any]:
    """The ops of a graph and the scalars among its literals, in order."""
    found: list[Any] = []
    for eqn in graph.eqns:
        found.append(eqn.op.name)
        if eqn.op.name == "full":
            found.append(repr(eqn.params["value"]))
        found += [
            np.asarray(atom.value).tobytes()
            for atom in eqn.inputs
            if isinstance(atom, Lit) and not atom.aval.shape
        ]
        for _, inner in subgraphs(eqn):
            found += _constants(inner)
    return found


def through(graph: Graph, forms: Forms, parts: int) -> Spread | None:
    """The forms of a graph's inputs and outputs, by the rules of its equations."""
    given = list(forms)
    # An input that turns out to be needed in pieces is in pieces wherever it is used.
    for _ in range(len(given) + 1):
        known = dict(zip(graph.inputs, given, strict=True))
        zeros = Zeros()
        wanted: dict[Any, int] = {}
        for eqn in graph.eqns:
            zeros.see(eqn)
            mine = [WHOLE if isinstance(a, Lit) else known[a] for a in eqn.inputs]
            found = spread(eqn, mine, parts, zeros)
            if found is None:
                return None
            for atom, before, after in zip(eqn.inputs, mine, found.inputs, strict=True):
                if before == after or after == OWN:
                    continue
                if isinstance(atom, Lit) or wanted.setdefault(atom, after) != after:
                    return None
            known.update(zip(eqn.outputs, found.outputs, strict=True))
        changed = [var for var in graph.inputs if var in wanted]
        # What is made inside follows the shapes of the inputs only if it is a constant.
        made = {eqn.outputs[0] for eqn in graph.eqns if eqn.op.name == "full"}
        if any(atom not in graph.inputs and atom not in made for atom in wanted):
            return None
        if not changed:
            outputs = [WHOLE if isinstance(a, Lit) else known[a] for a in graph.outputs]
            return Spread(tuple(given), tuple(outputs))
        for i, var in enumerate(graph.inputs):
            given[i] = wanted.get(var, given[i])
    return None


# ----- elementwise -----

# Ops that may be applied to summands instead of to their sum; which arguments may be partial.
_LINEAR: dict[str, tuple[int, ...]] = {"neg": (0,), "mul": (0, 1), "div": (0,)}


def _elementwise(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    rank = len(eqn.outputs[0].aval.shape)
    cut = {
        form + rank - len(atom.aval.shape)
        for atom, form in zip(eqn.inputs, forms, strict=True)
        if form >= 0
    }
    if PARTIAL in forms:
        if cut or not _linear(eqn, forms):
            return None
        return Spread(tuple(forms), (PARTIAL,))
    if len(cut) != 1:
        return None
    (axis,) = cut
    extent = eqn.outputs[0].aval.shape[axis]
    needed = []
    for atom, form in zip(eqn.inputs, forms, strict=True):
        own = axis - (rank - len(atom.aval.shape))
        if form == WHOLE and own >= 0 and atom.aval.shape[own] == extent and extent != 1:
            form = own
        needed.append(form)
    if any(f >= 0 and a.aval.shape[f] != extent for a, f in zip(eqn.inputs, needed, strict=True)):
        return None
    return Spread(tuple(needed), (axis,))


def _linear(eqn: Eqn, forms: Forms) -> bool:
    partial = [i for i, form in enumerate(forms) if form == PARTIAL]
    if eqn.op.name in ("add", "sub"):
        return len(partial) == 2
    return len(partial) == 1 and partial[0] in _LINEAR.get(eqn.op.name, ())


# ----- reductions, scans and sorts -----


def _reduce(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    (form,) = forms
    total = eqn.op.name == "reduce_sum"
    axes = eqn.params["axes"]
    if form == PARTIAL or form in axes:
        return Spread(tuple(forms), (PARTIAL,)) if total else None
    out = form if eqn.params["keepdims"] else form - sum(axis < form for axis in axes)
    return Spread(tuple(forms), (out,))


def _arg_extreme(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    axis, form = eqn.params["axis"], forms[0]
    if form in (PARTIAL, axis):
        return None
    return Spread(tuple(forms), (form - (axis < form),))


def _along(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    """Ops that mix elements along one axis only."""
    if forms[0] in (PARTIAL, eqn.params["axis"]):
        return None
    return Spread(tuple(forms), (forms[0],) * len(eqn.outputs))


# ----- contractions, convolutions and windows -----


def _dot(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    if PARTIAL in forms:
        return Spread(tuple(forms), (PARTIAL,)) if WHOLE in forms else None
    contract, batch = eqn.params["contract"], eqn.params["batch"]
    ranks = [len(atom.aval.shape) for atom in eqn.inputs]
    free = [
        [axis for axis in range(ranks[i]) if axis not in contract[i] and axis not in batch[i]]
        for i in (0, 1)
    ]
    side = 0 if forms[0] >= 0 else 1
    mine, other = forms[side], forms[1 - side]
    for pairs, place in ((contract, PARTIAL), (batch, 0)):
        if mine in pairs[side]:
            at = pairs[side].index(mine)
            partner = pairs[1 - side][at]
            if other not in (WHOLE, partner):
                return None
            needed = (mine, partner) if side == 0 else (partner, mine)
            return Spread(needed, (PARTIAL if place == PARTIAL else at,))
    if other != WHOLE:
        return None
    out = len(batch[0]) + free[side].index(mine) + (len(free[0]) if side else 0)
    return Spread(tuple(forms), (out,))


def _conv(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    """The batch comes first; filters are whole, and summed over it."""
    if eqn.op.name == "conv_filter_grad":
        return _batch_first(eqn, forms, PARTIAL)
    return Spread((0, WHOLE), (0,)) if tuple(forms) == (0, WHOLE) else None


def _window(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    return _batch_first(eqn, forms, 0)


def _batch_first(eqn: Eqn, forms: Forms, out: int) -> Spread | None:
    if any(form not in (0, WHOLE) for form in forms):
        return None
    return Spread((0,) * len(forms), (out,) * len(eqn.outputs))


# ----- movement and indexing -----


def _reshape(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    (form,) = forms
    if form == PARTIAL:
        return Spread((form,), (PARTIAL,))
    given: Any = eqn.inputs[0].aval.shape
    before = prod(given[:form])
    shape: Any = eqn.outputs[0].aval.shape
    for axis, dim in enumerate(shape):
        if prod(shape[:axis]) == before and dim != 1:
            return Spread((form,), (axis,)) if dim % parts == 0 else None
    return None


def _transpose(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    (form,) = forms
    return Spread((form,), (form if form < 0 else eqn.params["axes"].index(form),))


def _broadcast_to(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    (form,) = forms
    out = eqn.outputs[0].aval.shape
    axis = form if form < 0 else form + len(out) - len(eqn.inputs[0].aval.shape)
    if axis >= 0 and out[axis] != eqn.inputs[0].aval.shape[form]:
        return None
    return Spread((form,), (axis,))


def _pad(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    form = forms[0]
    if form < 0 or forms[1] != WHOLE or any(eqn.params["widths"][form]):
        return None
    return Spread(tuple(forms), (form,))


def _slice(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    (form,) = forms
    full = form < 0 or (
        eqn.outputs[0].aval.shape[form] == eqn.inputs[0].aval.shape[form]
        and eqn.params["steps"][form] == 1
    )
    return Spread((form,), (form,)) if full else None


def _rev(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    (form,) = forms
    return None if form in eqn.params["axes"] else Spread((form,), (form,))


def _concatenate(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    if set(forms) == {PARTIAL}:
        return Spread(tuple(forms), (PARTIAL,))
    cut = set(forms) - {WHOLE}
    if len(cut) != 1 or PARTIAL in cut or eqn.params["axis"] in cut:
        return None
    (axis,) = cut
    return Spread((axis,) * len(forms), (axis,))


def _gather(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    axes, indices = eqn.params["axes"], forms[1:]
    alike = len({atom.aval.shape for atom in eqn.inputs[1:]}) == 1
    if forms[0] == WHOLE and alike and len(set(indices) - {WHOLE}) == 1:
        (axis,) = set(indices) - {WHOLE}
        return Spread((WHOLE, *(axis,) * len(indices)), (axis,)) if axis >= 0 else None
    if alike and _by_own_row(eqn.inputs[1:], forms[0], indices, axes):
        return Spread((0, OWN, *(0,) * (len(indices) - 1)), (0,))
    if forms[0] < 0 or forms[0] in axes or set(indices) != {WHOLE} or not alike:
        return None
    rest = [i for i in range(len(eqn.inputs[0].aval.shape)) if i not in axes]
    rank = len(eqn.inputs[1].aval.shape)
    return Spread(tuple(forms), (rank + rest.index(forms[0]),))


def _by_own_row(indices: Sequence[Any], form: int, forms: Forms, axes: Sequence[int]) -> bool:
    """Whether each row takes what is its own: the first index counts the rows."""
    first = indices[0]
    return (
        form == 0
        and axes[0] == 0
        and isinstance(first, Lit)
        and len(first.aval.shape) == 1
        and all(f in (0, WHOLE) for f in forms[1:])
        and np.array_equal(np.asarray(first.value), np.arange(first.aval.shape[0] or 0))
    )


def _scatter(eqn: Eqn, forms: Forms, parts: int, zeros: Zeros) -> Spread | None:
    """Each row into its own place; or sums of rows into zeros, of which each part has its own."""
    target, *others = forms
    if others[0] == 0 and len({a.aval.shape for a in eqn.inputs[2:]}) == 1:
        if _by_own_row(eqn.inputs[2:], target, others[1:], eqn.params["axes"]):
            return Spread((0, 0, OWN, *(0,) * (len(others) - 2)), (0,))
    cut = set(others) - {WHOLE}
    alike = len({atom.aval.shape for atom in eqn.inputs[2:]}) == 1
    sums = eqn.params["mode"] == "add" and eqn.inputs[0] in zeros and target == WHOLE
    if not sums or not alike or len(cut) != 1 or PARTIAL in cut:
        return None
    (axis,) = cut
    if axis >= len(eqn.inputs[2].aval.shape):
        return None
    return Spread((WHOLE, *(axis,) * len(others)), (PARTIAL,))


# ----- loops -----


def _scan(eqn: Eqn, forms: Forms, parts: int) -> Spread | None:
    constants, carries = eqn.params["constants"], eqn.params["carries"]
    rows = constants + carries
    if PARTIAL in forms or 0 in forms[rows:]:
        return None
    given = [*forms[:rows], *[form - 1 if form >= 0 else form for form in forms[rows:]]]
    for _ in range(carries + 1):
        found = through(eqn.params["body"], given, parts)
        if found is None:
            return None
        before = list(found.inputs)
        after = list(found.outputs[:carries])
        if PARTIAL in found.outputs:
            return None
        if before[constants:rows] == after:
            stacked = [form + 1 if form >= 0 else form for form in found.outputs[carries:]]
            xs = [form + 1 if form >= 0 else form for form in before[rows:]]
            return Spread((*before[:rows], *xs), (*after, *stacked))
        # A state that starts the same for all rows, and is each row's own from then on.
        given = [*before[:constants], *after, *before[rows:]]
    return None


_Rule = Callable[[Eqn, Forms, int, Zeros], Spread | None]
_RULES: dict[str, _Rule] = {
    "argmax": _arg_extreme, "argmin": _arg_extreme, "dot": _dot, "reshape": _reshape,
    "transpose": _transpose, "broadcast_to": _broadcast_to, "pad": _pad, "slice": _slice,
    "rev": _rev, "concatenate": _concatenate, "gather": _gather, "scatter": _scatter,
    "cumsum": _along, "cumprod": _along, "sort": _along, "argsort": _along,
}  # fmt: skip
_KINDS: dict[str, _Rule] = {
    "elementwise": _elementwise,
    "reduce": _reduce,
    "conv": _conv,
    "window": _window,
}
