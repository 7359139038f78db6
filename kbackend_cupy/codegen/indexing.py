"""Gather, scatter and positions of extremes.

A gathered element out of range is NaN, or 0 where there is none: a device can't raise an error in
the middle of a graph. A scattered one is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from kbackend.engine.program import Ints, Spec
from kbackend_cupy.codegen.launch import NAME, Launch, named
from kbackend_cupy.codegen.loop import fits, libraries, loop, pointer, steps
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.codegen.scalar import HALVES, TYPES, computed
from kbackend_cupy.codegen.space import coordinates, offset

# Comparisons of places, above which each place is looked for only once.
_MOST = 1 << 26
# Threads of a block that looks for a place, and places up to which that is worth it.
_THREADS, _PLACES = 128, 1 << 16
_COMBINE = {"add": "add", "mul": "mul", "max": "maximum", "min": "minimum"}
_INTEGERS = frozenset(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"))


def _places(indices: tuple[Spec, ...], axes: Ints, shape: Ints, number: str) -> list[str]:
    """Statements that read index number `number` of each array, counted from 0."""
    found = coordinates(number, indices[0].shape, "p", "unsigned")
    for k, (spec, axis) in enumerate(zip(indices, axes, strict=True)):
        place = offset(steps(spec), "p", False)
        found.append(f"long long j{k} = (long long)i{k}[{place}];")
        found.append(f"if (j{k} < 0) j{k} += {shape[axis]};")
    return found


def _usable(indices: tuple[Spec, ...]) -> bool:
    return all(
        spec.dtype in _INTEGERS and spec.shape == indices[0].shape for spec in indices
    ) and bool(indices)


def gather(inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], *, axes: Ints) -> Plan | None:
    """Elements, or blocks of the dimensions that are not in `axes`, at given places."""
    x, indices, (out,) = inputs[0], inputs[1:], outputs
    if not fits(x, out, *indices) or not _usable(indices):
        return None
    rest = [i for i in range(len(x.shape)) if i not in axes]
    sizes = (prod(indices[0].shape), *[x.shape[i] for i in rest])
    own = steps(x)
    kind = TYPES[x.dtype]
    missing = "__uint_as_float(0x7fc00000u)" if "float" in x.dtype else "0"
    if x.dtype in HALVES:
        missing = f"kb::store<{kind}>({missing})"
    inside = " && ".join(f"j{k} >= 0 && j{k} < {x.shape[a]}" for k, a in enumerate(axes))
    place = " + ".join(f"j{k} * {own[a]}" for k, a in enumerate(axes))
    within = offset(tuple([0, *[own[i] for i in rest]]), "c", False)
    lines = [
        *coordinates("at", sizes, "c", "unsigned"),
        *_places(indices, axes, x.shape, "c0"),
        f"o[at] = {inside} ? x[{place} + {within}] : ({kind}){missing};",
    ]
    parameters = [pointer(out, "o", True), pointer(x, "x")]
    parameters += [pointer(spec, f"i{k}") for k, spec in enumerate(indices)]
    arrays = tuple(range(len(parameters)))
    head = libraries((x,))
    return Plan(tuple(loop("gather", head, parameters, lines, out.size, arrays)))


def scatter(
    inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], *, axes: Ints, mode: str
) -> Plan | None:
    """An array with elements put in, or combined with, those at given places.

    Each thread goes through all places for its own element. Where these are too many, there is a
    block of threads for each place that is given, which does nothing if that place was given
    before, and else all that is to be done there. The order, and so the result, is always the same.
    """
    x, updates, indices, (out,) = inputs[0], inputs[1], inputs[2:], outputs
    if not fits(x, updates, out, *indices) or not _usable(indices):
        return None
    count = prod(indices[0].shape)
    if x.dtype == "bool" and mode in ("mul", "add"):
        return None
    if count * out.size > _MOST:
        return _by_place(x, updates, indices, out, axes, mode)
    rest = [i for i in range(len(x.shape)) if i not in axes]
    kind, work = TYPES[x.dtype], computed(x.dtype)
    given = steps(updates)
    outer = len(indices[0].shape)
    lead = offset(given[:outer], "p", False)
    within = " + ".join(
        f"(int)c{axis} * {step}" for axis, step in zip(rest, given[outer:], strict=True)
    )
    update = f"kb::load<{work}>(u[{lead} + {within or '0'}])"
    combined = f"kb::{_COMBINE[mode]}(value, {update})" if mode in _COMBINE else update
    same = " && ".join(f"j{k} == c{axis}" for k, axis in enumerate(axes))
    lines = [
        *coordinates("at", x.shape, "c", "unsigned"),
        f"{work} value = kb::load<{work}>(x[{offset(steps(x), 'c', False)}]);",
        # So that several places are on their way from memory.
        "#pragma unroll 8",
        f"for (unsigned number = 0; number < {count}u; ++number) {{",
        *[f"    {line}" for line in _places(indices, axes, x.shape, "number")],
        f"    if ({same}) value = {combined};",
        "}",
        f"o[at] = kb::store<{kind}>(value);",
    ]
    parameters = [pointer(out, "o", True), pointer(x, "x"), pointer(updates, "u")]
    parameters += [pointer(spec, f"i{k}") for k, spec in enumerate(indices)]
    arrays = tuple(range(len(parameters)))
    head, each = libraries((x,)), max(1, count // 32)
    return Plan(tuple(loop("scatter", head, parameters, lines, out.size, arrays, each)))


def _by_place(
    x: Spec, updates: Spec, indices: tuple[Spec, ...], out: Spec, axes: Ints, mode: str
) -> Plan | None:
    """A scatter with a block of threads for each place that is given."""
    count = prod(indices[0].shape)
    if count > _PLACES:
        return None
    rest = [i for i in range(len(x.shape)) if i not in axes]
    sizes = tuple([x.shape[i] for i in rest])
    kind, work = TYPES[x.dtype], computed(x.dtype)
    given, own = steps(updates), steps(out)
    outer = len(indices[0].shape)
    lead = offset(given[:outer], "p", False)
    update = f"kb::load<{work}>(u[{lead} + {offset(given[outer:], 'c', False)}])"
    combined = f"kb::{_COMBINE[mode]}(value, {update})" if mode in _COMBINE else update
    place = " + ".join(f"(int)own{k} * {own[a]}" for k, a in enumerate(axes))
    same = " && ".join(f"j{k} == own{k}" for k in range(len(axes)))
    inside = " && ".join(f"own{k} >= 0 && own{k} < {x.shape[a]}" for k, a in enumerate(axes))
    parameters = [pointer(out, "o", True), pointer(updates, "u")]
    parameters += [pointer(spec, f"i{k}") for k, spec in enumerate(indices)]

    def through(begin: str, end: str, by: int, then: str) -> list[str]:
        return [
            f"for (unsigned number = {begin}; number < {end}; number += {by}u) {{",
            *[f"    {line}" for line in _places(indices, axes, x.shape, "number")],
            f"    if ({same}) {then};",
            "}",
        ]

    lines = [
        f'extern "C" __global__ void __launch_bounds__({_THREADS}) {NAME}(',
        f"    {', '.join(parameters)}, unsigned n) {{",
        *[f"    long long own{k};" for k in range(len(axes))],
        "    {",
        *[f"        {line}" for line in _places(indices, axes, x.shape, "blockIdx.x")],
        *[f"        own{k} = j{k};" for k in range(len(axes))],
        "    }",
        "    int before = 0;",
        *[f"    {line}" for line in through("threadIdx.x", "blockIdx.x", _THREADS, "before = 1")],
        f"    if (__syncthreads_or(before) || !({inside})) return;",
        f"    for (unsigned at = threadIdx.x; at < n; at += {_THREADS}u) {{",
        *[f"        {line}" for line in coordinates("at", sizes, "c", "unsigned")],
        f"        {kind}& target = o[{place} + {offset(tuple(own[i] for i in rest), 'c', False)}];",
        f"        {work} value = kb::load<{work}>(target);",
        *[
            f"        {line}"
            for line in through("blockIdx.x", f"{count}u", 1, f"value = {combined}")
        ],
        f"        target = kb::store<{kind}>(value);",
        "    }",
        "}\n",
    ]
    text, name = named(libraries((x,)) + "\n".join(lines), "scatter")
    element = f"o[at] = x[{offset(steps(x), 'c', False)}];"
    copied = loop(
        "copy",
        libraries((x,)),
        [pointer(out, "o", True), pointer(x, "x")],
        [*coordinates("at", x.shape, "c", "unsigned"), element],
        out.size,
        (0, 1),
    )
    arrays = (0, 2, *range(3, 3 + len(indices)))
    scalars = (np.uint32(prod(sizes)),)
    placed = Launch(text, name, (count, 1, 1), (_THREADS, 1, 1), arrays, scalars)
    return Plan((*copied, placed))


def _extreme(name: str) -> Callable[..., Plan | None]:
    better = ">" if name == "argmax" else "<"

    def make(inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], *, axis: int) -> Plan | None:
        (x,), (out,) = inputs, outputs
        if not fits(x, out) or not x.shape[axis]:
            return None
        others = [i for i in range(len(x.shape)) if i != axis]
        sizes, own, work = tuple([x.shape[i] for i in others]), steps(x), computed(x.dtype)
        start = offset(tuple([own[i] for i in others]), "c", False)
        lines = [
            *coordinates("at", sizes, "c", "unsigned"),
            f"const int start = {start};",
            f"{work} best = kb::load<{work}>(x[start]);",
            "unsigned found = 0;",
            f"for (unsigned i = 1; i < {x.shape[axis]}u; ++i) {{",
            f"    const {work} value = kb::load<{work}>(x[start + (int)i * {own[axis]}]);",
            # The first NaN is greater, and less, than everything.
            f"    if (value {better} best || (value != value && best == best)) {{",
            "        best = value;",
            "        found = i;",
            "    }",
            "}",
            f"o[at] = ({TYPES[out.dtype]})found;",
        ]
        parameters = [pointer(out, "o", True), pointer(x, "x")]
        head, each = libraries((x,)), x.shape[axis]
        return Plan(tuple(loop(name, head, parameters, lines, out.size, (0, 1), each)))

    return make


PREPARE: dict[str, Callable[..., Plan | None]] = {
    "gather": gather,
    "scatter": scatter,
    "argmax": _extreme("argmax"),
    "argmin": _extreme("argmin"),
}
