"""Contractions of arrays that lie in any way."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from kbackend.engine.program import Ints, Spec
from kbackend_cupy.codegen import matrices
from kbackend_cupy.codegen.loop import steps
from kbackend_cupy.codegen.matrices import Operand, Sizes
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.codegen.space import coordinates, offset

Pairs = tuple[Ints, Ints]


def _operand(spec: Spec, groups: dict[str, Ints]) -> Operand:
    """An operand by the dimensions that make up each of its indices."""
    lines, terms, own = [], [], steps(spec)
    for name, axes in groups.items():
        lines += coordinates(name, tuple([spec.shape[a] for a in axes]), name[0], "unsigned")
        terms.append(offset(tuple([own[a] for a in axes]), name[0], False))
    inner = groups["inner"]
    along = bool(inner) and own[inner[-1]] == 1
    (other,) = [axes for name, axes in groups.items() if name not in ("batch", "inner")]
    # The last dimension of the group whose elements may lie together.
    last = (inner if along else other)[-1:]
    others = [own[a] for axes in groups.values() for a in axes if (a,) != last]
    together = last and own[last[0]] == 1
    wide = matrices.width(spec, spec.shape[last[0]], tuple(others)) if together else 1
    return Operand(lines, " + ".join(terms), along, wide)


def dot(
    inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], *, contract: Pairs, batch: Pairs
) -> Plan | None:
    """A contraction: batch dimensions first, then those of x, then those of y that are left."""
    (x, y), (out,) = inputs, outputs
    pairs = sorted(zip(*contract, strict=True))
    x_sum, y_sum = tuple([p[0] for p in pairs]), tuple([p[1] for p in pairs])
    x_rows = tuple([i for i in range(len(x.shape)) if i not in x_sum and i not in batch[0]])
    y_columns = tuple([i for i in range(len(y.shape)) if i not in y_sum and i not in batch[1]])
    sizes = Sizes(
        prod(x.shape[i] for i in batch[0]),
        prod(x.shape[i] for i in x_rows),
        prod(y.shape[i] for i in y_columns),
        prod(x.shape[i] for i in x_sum),
    )
    left = _operand(x, {"batch": batch[0], "row": x_rows, "inner": x_sum})
    right = _operand(y, {"batch": batch[1], "inner": y_sum, "column": y_columns})
    place = f"(batch * rows + row) * {sizes.columns}u + column"
    return matrices.plan("dot", sizes, (x, left), (y, right), out, place)


PREPARE: dict[str, Callable[..., Plan | None]] = {"dot": dot}
