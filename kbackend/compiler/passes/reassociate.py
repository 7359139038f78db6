"""Rules that hold for numbers, and for floats up to their rounding: they are told apart from the
exact ones in `algebra`.

Scalar factors one after the other become one: x * a * b, x * a / b, x / a / b. The result differs
from the literal one by two roundings, 2**-23 relative in float32, unless x * a leaves the range of
normal numbers and x * a * b does not. Summands are left alone: (x + a) - b is how rounding errors
are measured.
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from kbackend.base import dtypes
from kbackend.compiler.passes.algebra import Makers, Rule, literal, rewrite, scalar
from kbackend.compiler.passes.inner import everywhere
from kbackend.core import lang
from kbackend.ir.graph import Atom, Eqn, Graph

_FLOATS = ("float32", "float64")


@everywhere
def reassociate(graph: Graph) -> Graph:
    """The graph with chains of scalar factors as one factor."""
    return rewrite(graph, RULES)


def _split(eqn: Eqn | None) -> tuple[Atom, float] | None:
    """A float equation of a value and a scalar as (value, scalar), with the value first."""
    if eqn is None or eqn.outputs[0].aval.dtype not in _FLOATS:
        return None
    x, y = eqn.inputs
    value = scalar(y)
    if value is None and eqn.op.name == "mul":
        x, value = y, scalar(x)
    if value is None or x.aval.shape != eqn.outputs[0].aval.shape:
        return None
    return x, value


def _fits(value: float, like: Atom) -> bool:
    info = np.finfo(dtypes.numpy_dtype(like.aval.dtype))
    return isfinite(value) and float(info.tiny) <= abs(value) <= float(info.max)


def _factors(eqn: Eqn, makers: Makers) -> Eqn | None:
    outer = _split(eqn)
    if outer is None:
        return None
    for name in ("mul", "div"):
        inner = _split(makers(outer[0], name))
        if inner is not None and inner[1] and outer[1]:
            a = inner[1] if name == "mul" else 1.0 / inner[1]
            b = outer[1] if eqn.op.name == "mul" else 1.0 / outer[1]
            if _fits(a, inner[0]) and _fits(b, inner[0]) and _fits(a * b, inner[0]):
                both = literal(a * b, eqn.outputs[0])
                return eqn._replace(op=lang.mul_p, inputs=(inner[0], both))
    return None


RULES: dict[str, tuple[Rule, ...]] = {
    "mul": (_factors,),
    "div": (_factors,),
}
