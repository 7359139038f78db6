"""Algebraic rules that are exact: the result keeps its bits, whatever the values are.

Rules that hold for numbers but not for every float are in `reassociate`. What is left alone, though
it looks like nothing: `x + 0` (it makes -0.0 to 0.0), `0 * x` (infinities and NaN), a cast from
int32 to float32 and back (integers beyond 2**24 are rounded).
"""

from __future__ import annotations

from collections.abc import Callable
from math import frexp, isfinite, prod
from typing import Any

import numpy as np

from kbackend.base import dtypes
from kbackend.compiler.passes.inner import everywhere
from kbackend.core import lang
from kbackend.core.bind import recording
from kbackend.core.primitive import Primitive
from kbackend.ir.graph import Atom, Eqn, Graph, Lit, Substitution, Var

Ints = tuple[int, ...]


class Makers:
    """The equations so far, by what they define."""

    def __init__(self) -> None:
        self._eqns: dict[Var, Eqn] = {}

    def add(self, eqn: Eqn) -> None:
        """Remembers an equation."""
        for var in eqn.outputs:
            self._eqns[var] = eqn

    def __call__(self, atom: Atom, name: str) -> Eqn | None:
        """The equation that defines `atom`, if it applies the primitive `name`."""
        found = self._eqns.get(atom) if atom.__class__ is Var else None
        if found is not None and found.op.name == name and found.op.__class__ is Primitive:
            return found
        return None


# (equation, what defines its inputs) -> another equation with the same outputs, the atom that the
# result is, or None where the rule does not apply
Rule = Callable[[Eqn, Makers], Eqn | Atom | None]


@everywhere
def algebra(graph: Graph) -> Graph:
    """The graph after the exact rules."""
    return rewrite(graph, RULES)


def rewrite(graph: Graph, rules: dict[str, tuple[Rule, ...]]) -> Graph:
    """The graph with rules applied, from the first equation to the last, until none applies.

    Args:
        graph: any graph.
        rules: by primitive.
    """
    makers, replaced = Makers(), Substitution()
    eqns: list[Eqn] = []
    for eqn in graph.eqns:
        eqn = replaced.eqn(eqn)
        found = _once(eqn, makers, rules)
        while isinstance(found, Eqn):
            eqn = found
            found = _once(eqn, makers, rules)
        if found is None:
            makers.add(eqn)
            eqns.append(eqn)
        else:
            replaced[eqn.outputs[0]] = found
    return graph.replace(eqns, [replaced(atom) for atom in graph.outputs])


def _once(eqn: Eqn, makers: Makers, rules: dict[str, tuple[Rule, ...]]) -> Eqn | Atom | None:
    if eqn.op.__class__ is not Primitive:
        return None
    for rule in rules.get(eqn.op.name, ()):
        found = rule(eqn, makers)
        if found is not None:
            return found
    return None


# ----- what rules are written with -----


def scalar(atom: Atom) -> Any:
    """The value of a literal with one element as a Python number, else `None`."""
    if atom.__class__ is Lit and atom.value.size == 1 and not atom.aval.shape:
        return np.asarray(atom.value).item()
    return None


def literal(value: Any, like: Atom) -> Lit:
    """A scalar literal of the dtype of `like`."""
    with recording(()):
        return Lit(lang.full((), value, like.aval.dtype))


def same_value(atom: Atom, eqn: Eqn) -> Atom | None:
    """`atom` as what the equation results in, if it has that shape and dtype."""
    out = eqn.outputs[0].aval
    return atom if atom.aval[:2] == out[:2] else None


def power_of_two(value: Any) -> bool:
    """Whether a float is 2**n, so that multiplying by it rounds nothing but at the range's ends."""
    return isinstance(value, float) and isfinite(value) and abs(frexp(value)[0]) == 0.5


# ----- movement -----


def _nothing_moves(eqn: Eqn, makers: Makers) -> Atom | None:
    """A movement that leaves everything where it is."""
    x, params = eqn.inputs[0], eqn.params
    name = eqn.op.name
    if name == "transpose" and params["axes"] != tuple(range(len(params["axes"]))):
        return None
    if name == "rev" and any(x.aval.shape[axis] not in (0, 1) for axis in params["axes"]):
        return None
    if name == "pad" and any(map(any, params["widths"])):
        return None
    if name == "slice" and any(step != 1 for step in params["steps"]):
        return None
    if name == "concatenate" and len(eqn.inputs) > 1:
        return None
    return same_value(x, eqn)


def _transpose_of_transpose(eqn: Eqn, makers: Makers) -> Eqn | None:
    inner = makers(eqn.inputs[0], "transpose")
    if inner is None:
        return None
    axes = tuple([inner.params["axes"][axis] for axis in eqn.params["axes"]])
    return eqn._replace(inputs=inner.inputs, params={"axes": axes})


def _transpose_of_ones(eqn: Eqn, makers: Makers) -> Eqn | None:
    """A transpose that moves dimensions of size 1 only is a reshape."""
    shape = eqn.inputs[0].aval.shape
    axes = [axis for axis in eqn.params["axes"] if shape[axis] != 1]
    if axes != sorted(axes):
        return None
    return eqn._replace(op=lang.reshape_p, params={"shape": eqn.outputs[0].aval.shape})


def _reshape_of_reshape(eqn: Eqn, makers: Makers) -> Eqn | None:
    inner = makers(eqn.inputs[0], "reshape")
    if inner is None:
        return None
    return eqn._replace(inputs=inner.inputs, params={"shape": eqn.outputs[0].aval.shape})


def _reshape_of_broadcast(eqn: Eqn, makers: Makers) -> Eqn | None:
    """A value that is spread over dimensions of size 1 only is reshaped."""
    inner = makers(eqn.inputs[0], "broadcast_to")
    if inner is None or elements(inner.inputs[0]) != elements(eqn.outputs[0]):
        return None
    return eqn._replace(inputs=inner.inputs, params={"shape": eqn.outputs[0].aval.shape})


def _broadcast_of_broadcast(eqn: Eqn, makers: Makers) -> Eqn | None:
    inner = makers(eqn.inputs[0], "broadcast_to")
    return None if inner is None else eqn._replace(inputs=inner.inputs)


def _rev_of_rev(eqn: Eqn, makers: Makers) -> Eqn | None:
    inner = makers(eqn.inputs[0], "rev")
    if inner is None:
        return None
    axes = set(eqn.params["axes"]) ^ set(inner.params["axes"])
    return eqn._replace(inputs=inner.inputs, params={"axes": tuple(sorted(axes))})


def _slice_of_slice(eqn: Eqn, makers: Makers) -> Eqn | None:
    inner = makers(eqn.inputs[0], "slice")
    if inner is None or 0 in eqn.outputs[0].aval.shape:
        return None
    starts, stops, steps = [], [], []
    for a, s, b, e, t in zip(
        inner.params["starts"], inner.params["steps"],
        *[eqn.params[key] for key in ("starts", "stops", "steps")], strict=True,
    ):  # fmt: skip
        count = -(-(e - b) // t)
        starts.append(a + b * s)
        steps.append(s * t)
        stops.append(a + b * s + (count - 1) * s * t + 1)
    params = {"starts": tuple(starts), "stops": tuple(stops), "steps": tuple(steps)}
    return eqn._replace(inputs=inner.inputs, params=params)


def elements(atom: Atom) -> int:
    """Number of elements."""
    return prod(d or 0 for d in atom.aval.shape)


# ----- arithmetic -----


def _neutral(eqn: Eqn, makers: Makers) -> Atom | None:
    """x * 1, x / 1, x - 0, x ** 1; for integers and bool also x + 0. (x + 0.0 changes -0.0.)"""
    x, y = eqn.inputs
    name, value = eqn.op.name, scalar(y)
    if name in ("mul", "add") and value is None:
        x, value = y, scalar(x)
    if value is None or isinstance(value, complex):
        return None
    if name in ("mul", "div", "pow"):
        gone = value == 1
    elif name == "sub":
        gone = value == 0 and not np.signbit(value)
    else:
        gone = value == 0 and not dtypes.is_float(x.aval.dtype)
    return same_value(x, eqn) if gone else None


def _twice(eqn: Eqn, makers: Makers) -> Atom | None:
    """neg(neg(x))"""
    inner = makers(eqn.inputs[0], eqn.op.name)
    return None if inner is None else inner.inputs[0]


def _sub_of_neg(eqn: Eqn, makers: Makers) -> Eqn | None:
    """x - (-y) is x + y, and x + (-y) is x - y."""
    inner = makers(eqn.inputs[1], "neg")
    if inner is None:
        return None
    op = lang.add_p if eqn.op is lang.sub_p else lang.sub_p
    return eqn._replace(op=op, inputs=(eqn.inputs[0], inner.inputs[0]))


def _division(eqn: Eqn, makers: Makers) -> Eqn | None:
    """x / 2**n is x * 2**-n: the two are one number, rounded once."""
    x, y = eqn.inputs
    value = scalar(y)
    if y.aval.dtype not in ("float32", "float64") or not power_of_two(value):
        return None
    info, inverse = np.finfo(y.aval.dtype), 1.0 / value
    if not float(info.tiny) <= abs(inverse) <= float(info.max):
        return None
    return eqn._replace(op=lang.mul_p, inputs=(x, literal(inverse, y)))


def _integer_chain(eqn: Eqn, makers: Makers) -> Eqn | None:
    """(x + a) + b and (x * a) * b of integers, which wrap around in any order."""
    x, y = eqn.inputs
    inner = makers(x, eqn.op.name)
    if inner is None or not dtypes.is_int(y.aval.dtype):
        return None
    a, b = scalar(inner.inputs[1]), scalar(y)
    if a is None or b is None or inner.inputs[0].aval.shape != x.aval.shape:
        return None
    with recording(()):
        both = Lit((lang.add if eqn.op is lang.add_p else lang.mul)(inner.inputs[1].value, y.value))  # type: ignore[union-attr]
    return eqn._replace(inputs=(inner.inputs[0], both))


def _select(eqn: Eqn, makers: Makers) -> Atom | None:
    """A choice whose condition is known, or between a value and itself."""
    condition, x, y = eqn.inputs
    chosen = scalar(condition)
    if chosen is not None:
        return same_value(x if chosen else y, eqn)
    return same_value(x, eqn) if x is y else None


def _same_operands(eqn: Eqn, makers: Makers) -> Atom | None:
    """maximum(x, x) and its like."""
    x, y = eqn.inputs
    return same_value(x, eqn) if x is y else None


# ----- casts -----

# Bits of the mantissa, with the one that is not written, and the least and greatest exponent.
_FLOATS = {
    "float16": (11, -24, 15), "bfloat16": (8, -133, 127), "float32": (24, -149, 127),
    "float64": (53, -1074, 1023),
}  # fmt: skip


def _holds(wide: str, narrow: str) -> bool:
    """Whether every value of the dtype `narrow` is one of the dtype `wide`."""
    if wide == narrow or narrow == "bool":
        return True
    if narrow in _FLOATS and wide in _FLOATS:
        (a, low, high), (b, least, most) = _FLOATS[narrow], _FLOATS[wide]
        return a <= b and low >= least and high <= most
    if not dtypes.is_int(narrow):
        return False
    bits = dtypes.itemsize(narrow) * 8 - (not narrow.startswith("u"))
    if wide in _FLOATS:
        return bits <= _FLOATS[wide][0] and bits <= _FLOATS[wide][2]
    if dtypes.is_int(wide):
        if wide.startswith("u"):
            return narrow.startswith("u") and dtypes.itemsize(narrow) <= dtypes.itemsize(wide)
        return bits <= dtypes.itemsize(wide) * 8 - 1
    return False


def _cast(eqn: Eqn, makers: Makers) -> Eqn | Atom | None:
    """A cast to the dtype that there is, or of a cast that lost nothing."""
    x = eqn.inputs[0]
    target = eqn.outputs[0].aval.dtype
    if x.aval.dtype == target:
        return x
    inner = makers(x, "cast")
    if inner is None or not _holds(x.aval.dtype, inner.inputs[0].aval.dtype):
        return None
    first = inner.inputs[0].aval.dtype
    # Engines may cast to the other dtypes in two steps of their own, or wrap where floats don't.
    plain = target in ("float32", "float64", "bool") or _holds(target, first)
    return eqn._replace(inputs=inner.inputs) if plain else None


# ----- products -----


def _transposes_in_products(eqn: Eqn, makers: Makers) -> Eqn | None:
    """dot takes its axes from wherever they are, so what it takes need not be transposed.

    The result's dimensions must come in the same order, and axes that are summed or free together
    must not be torn apart further: then the transpose is the cheaper copy.
    """
    for side in (0, 1):
        inner = makers(eqn.inputs[side], "transpose")
        if inner is None:
            continue
        axes = inner.params["axes"]
        contract, batch = eqn.params["contract"][side], eqn.params["batch"][side]
        free = [i for i in range(len(axes)) if i not in contract and i not in batch]
        if [axes[i] for i in free] != sorted(axes[i] for i in free):
            continue
        inputs = list(eqn.inputs)
        inputs[side] = inner.inputs[0]
        params = dict(eqn.params)
        for key in ("contract", "batch"):
            pairs = list(params[key])
            pairs[side] = tuple([axes[i] for i in pairs[side]])
            params[key] = tuple(pairs)
        return eqn._replace(inputs=tuple(inputs), params=params)
    return None


RULES: dict[str, tuple[Rule, ...]] = {
    "transpose": (_nothing_moves, _transpose_of_transpose, _transpose_of_ones),
    "reshape": (_nothing_moves, _reshape_of_reshape, _reshape_of_broadcast),
    "broadcast_to": (_nothing_moves, _broadcast_of_broadcast),
    "rev": (_nothing_moves, _rev_of_rev),
    "slice": (_nothing_moves, _slice_of_slice),
    "pad": (_nothing_moves,),
    "concatenate": (_nothing_moves,),
    "mul": (_neutral, _integer_chain),
    "div": (_neutral, _division),
    "sub": (_neutral, _sub_of_neg),
    "add": (_neutral, _sub_of_neg, _integer_chain),
    "pow": (_neutral,),
    "neg": (_twice,),
    "maximum": (_same_operands,),
    "minimum": (_same_operands,),
    "select": (_select,),
    "cast": (_cast,),
    "dot": (_transposes_in_products,),
}
