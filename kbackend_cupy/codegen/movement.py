"""Arrays put beside each other."""

from __future__ import annotations

from collections.abc import Callable

from kbackend.engine.program import Spec
from kbackend_cupy.codegen.loop import fits, loop, pointer, steps
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.codegen.scalar import HALVES
from kbackend_cupy.codegen.space import coordinates, offset

_MOST = 16


def concatenate(inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], *, axis: int) -> Plan | None:
    """Arrays one behind the other along an axis."""
    (out,) = outputs
    if not fits(*inputs, out) or out.dtype in HALVES or len(inputs) > _MOST:
        return None
    lines = coordinates("at", out.shape, "c", "unsigned")
    begin, choice = 0, "if"
    for k, spec in enumerate(inputs):
        end = begin + spec.shape[axis]
        own = steps(spec)
        place = f"{offset(own, 'c', False)} - {begin * own[axis]}"
        lines.append(f"{choice} (c{axis} < {end}u) o[at] = x{k}[{place}];")
        begin, choice = end, "else if"
    parameters = [pointer(out, "o", True)]
    parameters += [pointer(spec, f"x{k}") for k, spec in enumerate(inputs)]
    arrays = tuple(range(len(parameters)))
    return Plan(tuple(loop("concatenate", "", parameters, lines, out.size, arrays)))


PREPARE: dict[str, Callable[..., Plan | None]] = {"concatenate": concatenate}
