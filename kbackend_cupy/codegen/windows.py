"""Pooling: maxima and sums over windows, channels last, and where maxima come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from kbackend.engine.program import Ints, Spec
from kbackend_cupy.codegen.loop import fits, libraries, loop, pointer, steps
from kbackend_cupy.codegen.operations import nothing
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.codegen.scalar import TYPES, computed
from kbackend_cupy.codegen.space import coordinates

Pads = tuple[tuple[int, int], ...]


class _Shape:
    """The geometry of windows.

    Args:
        x: what the windows move over: batch, space, channels.
        space: positions of the windows.
    """

    def __init__(self, x: Spec, space: Ints, window: Ints, strides: Ints, padding: Pads) -> None:
        self.own, self.sizes = steps(x), x.shape[1:-1]
        self.space, self.window, self.strides = space, window, strides
        self.padding = [low for low, _ in padding]
        self.dims = range(len(window))

    def taps(self, position: Callable[[int], str], inside: Sequence[str]) -> list[str]:
        """Loops over a window's elements that are not padding; they know `place`.

        Args:
            position: of the window, per dimension.
            inside: what is done for each element.
        """
        lines, depth = [], 0
        for d in self.dims:
            lines.append(f"{'    ' * depth}for (int t{d} = 0; t{d} < {self.window[d]}; ++t{d}) {{")
            depth += 1
            start = f"{position(d)} * {self.strides[d]} - {self.padding[d]}"
            lines.append(f"{'    ' * depth}const int y{d} = {start} + t{d};")
            lines.append(f"{'    ' * depth}if (y{d} < 0 || y{d} >= {self.sizes[d]}) continue;")
        terms = [f"y{d} * {self.own[d + 1]}" for d in self.dims]
        channel = len(self.sizes) + 1
        place = " + ".join(
            [f"(int)c0 * {self.own[0]}", *terms, f"(int)c{channel} * {self.own[-1]}"]
        )
        lines.append(f"{'    ' * depth}const int place = {place};")
        lines += [f"{'    ' * depth}{line}" for line in inside]
        for depth in reversed(self.dims):
            lines.append(f"{'    ' * depth}}}")
        return lines


def _reduced(name: str, operation: str) -> Callable[..., Plan | None]:
    def make(
        inputs: tuple[Spec, ...],
        outputs: tuple[Spec, ...],
        *,
        window: Ints,
        strides: Ints,
        padding: Pads,
    ) -> Plan | None:
        (x,), (out,) = inputs, outputs
        if not fits(x, out) or x.dtype == "bool":
            return None
        shape = _Shape(x, out.shape[1:-1], window, strides, padding)
        work = computed(x.dtype)
        read = f"value = kb::{operation}(value, kb::load<{work}>(x[place]));"
        lines = [
            *coordinates("at", out.shape, "c", "unsigned"),
            f"{work} value = {nothing('reduce_' + name[7:], x.dtype)};",
            *shape.taps(lambda d: f"(int)c{d + 1}", [read]),
            f"o[at] = kb::store<{TYPES[out.dtype]}>(value);",
        ]
        parameters = [pointer(out, "o", True), pointer(x, "x")]
        head, each = libraries((x,)), prod(window)
        return Plan(tuple(loop(name, head, parameters, lines, out.size, (0, 1), each)))

    return make


def window_unpick(
    inputs: tuple[Spec, ...],
    outputs: tuple[Spec, ...],
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
) -> Plan | None:
    """What windows hand back to the element that was their first maximum."""
    (x, g), (out,) = inputs, outputs
    if not fits(x, g, out) or x.dtype == "bool":
        return None
    shape = _Shape(x, g.shape[1:-1], window, strides, padding)
    work, given, dims = computed(x.dtype), steps(g), shape.dims
    start = nothing("reduce_max", x.dtype)
    lines = [*coordinates("at", x.shape, "c", "unsigned"), f"{work} sum = 0;"]
    for d in dims:
        own = f"((int)c{d + 1} + {shape.padding[d]})"
        # The windows that reach this element.
        first = f"({own} - {window[d] - 1} + {strides[d] - 1}) / {strides[d]}"
        lines += [
            f"const int first{d} = {own} < {window[d]} ? 0 : {first};",
            f"const int last{d} = {own} / {strides[d]};",
            f"for (int w{d} = first{d}; w{d} <= last{d} && w{d} < {g.shape[d + 1]}; ++w{d}) {{",
        ]
    look = [
        f"const {work} value = kb::load<{work}>(x[place]);",
        "if (found < 0 || value > best || (value != value && best == best)) {",
        "    best = value;",
        "    found = place;",
        "}",
    ]
    own_place = " + ".join(f"(int)c{d} * {s}" for d, s in enumerate(shape.own))
    where = [f"(int)c0 * {given[0]}", *[f"w{d} * {given[d + 1]}" for d in dims]]
    where.append(f"(int)c{len(dims) + 1} * {given[-1]}")
    lines += [
        f"{work} best = {start};",
        "int found = -1;",
        *shape.taps(lambda d: f"w{d}", look),
        f"if (found == {own_place}) sum += kb::load<{work}>(g[{' + '.join(where)}]);",
        *["}"] * len(dims),
        f"o[at] = kb::store<{TYPES[out.dtype]}>(sum);",
    ]
    parameters = [pointer(out, "o", True), pointer(x, "x"), pointer(g, "g")]
    head = libraries((x,))
    each = prod(window) ** 2
    return Plan(tuple(loop("unpick", head, parameters, lines, out.size, (0, 1, 2), each)))


PREPARE: dict[str, Callable[..., Plan | None]] = {
    "window_max": _reduced("window_max", "maximum"),
    "window_sum": _reduced("window_sum", "add"),
    "window_unpick": window_unpick,
}
