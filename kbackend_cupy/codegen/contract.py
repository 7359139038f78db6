"""Contractions of arrays that lie in any way."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from kbackend.engine.program import Ints, Spec
from kbackend_cupy.codegen import matrices
from kbackend_cupy.codegen.launch import THREADS
from kbackend_cupy.codegen.loop import fits, libraries, loop, pointer, steps
from kbackend_cupy.codegen.matrices import Operand, Sizes
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.codegen.scalar import TYPES, computed
from kbackend_cupy.codegen.space import coordinates, offset

Pairs = tuple[Ints, Ints]

# Multiplications of a thread, up to which a product is done element by element.
_LITTLE = 640


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
    if -(-out.size // THREADS) * sizes.inner <= _LITTLE and fits(x, y, out):
        return _by_element(sizes, (x, left), (y, right), out)
    place = f"(batch * rows + row) * {sizes.columns}u + column"
    return matrices.plan("dot", sizes, (x, left), (y, right), out, place)


def _by_element(sizes: Sizes, x: tuple[Spec, Operand], y: tuple[Spec, Operand], out: Spec) -> Plan:
    """A product that is so small that one block of threads may do it behind other kernels."""
    work = computed(out.dtype)

    def read(name: str, operand: tuple[Spec, Operand]) -> str:
        lines, place = " ".join(operand[1].lines), operand[1].place
        return f"    {{ {lines} {name}_ = kb::load<{work}>({name}[{place}]); }}"

    lines = [
        f"const unsigned column = at % {sizes.columns}u, rest = at / {sizes.columns}u;",
        f"const unsigned row = rest % {sizes.rows}u, batch = rest / {sizes.rows}u;",
        f"{work} sum = 0;",
        # So that several elements are on their way from memory.
        "#pragma unroll 8",
        f"for (unsigned inner = 0; inner < {sizes.inner}u; ++inner) {{",
        f"    {work} x_, y_;",
        read("x", x),
        read("y", y),
        "    sum += x_ * y_;",
        "}",
        f"o[at] = kb::store<{TYPES[out.dtype]}>(sum);",
    ]
    parameters = [pointer(out, "o", True), pointer(x[0], "x"), pointer(y[0], "y")]
    head = libraries((x[0], y[0], out))
    each = max(1, sizes.inner // 20)
    return Plan(tuple(loop("little", head, parameters, lines, out.size, (0, 1, 2), each)))


PREPARE: dict[str, Callable[..., Plan | None]] = {"dot": dot}
