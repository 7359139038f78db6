"""Convolutions, channels last, as products of matrices that are never written down."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from kbackend.engine.program import Ints, Spec
from kbackend_cupy.codegen import matrices
from kbackend_cupy.codegen.loop import steps
from kbackend_cupy.codegen.matrices import Operand, Sizes
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.codegen.space import coordinates

Pads = tuple[tuple[int, int], ...]


class _Window:
    """Where the windows of a convolution lie.

    Args:
        space: sizes of the image.
        out: positions of the windows.
        window: sizes of the filter.
        strides: from one window to the next.
        padding: before and behind the image.
        dilation: from one tap to the next.
    """

    def __init__(
        self, space: Ints, out: Ints, window: Ints, strides: Ints, padding: Pads, dilation: Ints
    ) -> None:
        self.space, self.out, self.window = space, out, window
        self.strides, self.dilation = strides, dilation
        self.low = [low for low, _ in padding]
        self.dims = range(len(window))

    def windows(self, spec: Spec, place: str, tap: str, channels: int) -> Operand:
        """An image's element under a tap of the filter; 0 in the padding.

        Args:
            spec: the image.
            place: name of the window's number.
            tap: name of the number of tap and channel.
            channels: how many channels a group has.
        """
        own = steps(spec)
        lines = coordinates(place, (1, *self.out), "p", "unsigned")
        lines += coordinates(tap, (*self.window, channels), "t", "unsigned")
        terms = [f"(int)p0 * {own[0]}"]
        for d in self.dims:
            start = f"(int)p{d + 1} * {self.strides[d]} - {self.low[d]}"
            lines.append(f"const int y{d} = {start} + (int)t{d} * {self.dilation[d]};")
            lines.append(f"if (y{d} < 0 || y{d} >= {self.space[d]}) return {{}};")
            terms.append(f"y{d} * {own[d + 1]}")
        channel = f"(batch * {channels}u + t{len(self.dims)})"
        terms.append(f"(int){channel} * {own[-1]}")
        return Operand(lines, " + ".join(terms), tap == "inner", _width(spec, channels))

    def windows_of(self, spec: Spec, channels: int) -> Operand:
        """What the windows that reach a place of the image have there: the way back."""
        own = steps(spec)
        lines = coordinates("row", (1, *self.space), "p", "unsigned")
        lines += coordinates("inner", (*self.window, channels), "t", "unsigned")
        terms = [f"(int)p0 * {own[0]}"]
        for d in self.dims:
            tap = f"(int)t{d} * {self.dilation[d]}"
            lines.append(f"const int s{d} = (int)p{d + 1} + {self.low[d]} - {tap};")
            lines.append(f"if (s{d} < 0 || s{d} % {self.strides[d]}) return {{}};")
            lines.append(f"const int y{d} = s{d} / {self.strides[d]};")
            lines.append(f"if (y{d} >= {self.out[d]}) return {{}};")
            terms.append(f"y{d} * {own[d + 1]}")
        terms.append(f"(int)(batch * {channels}u + t{len(self.dims)}) * {own[-1]}")
        return Operand(lines, " + ".join(terms), True, _width(spec, channels))


def _width(spec: Spec, channels: int) -> int:
    """Channels that can be read in one access."""
    *others, last = steps(spec)
    return matrices.width(spec, channels, tuple(others)) if last == 1 else 1


def _filter(spec: Spec, window: Ints, inside: int, filters: int, back: bool) -> Operand:
    """A filter's element by tap and channel; `back`: of the way back, where roles are swapped."""
    own, last = steps(spec), len(window)
    lines = coordinates("inner", (*window, filters if back else inside), "t", "unsigned")
    terms = [f"(int)t{d} * {own[d]}" for d in range(last)]
    one, other = ("column", f"t{last}") if back else (f"t{last}", "column")
    terms.append(f"(int){one} * {own[-2]}")
    terms.append(f"(int)(batch * {filters}u + {other}) * {own[-1]}")
    return Operand(lines, " + ".join(terms), back, _width(spec, filters))


def conv(
    inputs: tuple[Spec, ...],
    outputs: tuple[Spec, ...],
    *,
    strides: Ints,
    padding: Pads,
    dilation: Ints,
    groups: int,
) -> Plan | None:
    """A convolution: a row for each window, a column for each filter."""
    (x, w), (out,) = inputs, outputs
    window, inside, filters = w.shape[:-2], w.shape[-2], w.shape[-1] // groups
    space = out.shape[1:-1]
    where = _Window(x.shape[1:-1], space, window, strides, padding, dilation)
    sizes = Sizes(groups, out.shape[0] * prod(space), filters, prod(window) * inside)
    left = where.windows(x, "row", "inner", inside)
    right = _filter(w, window, inside, filters, False)
    place = f"row * {w.shape[-1]}u + batch * {filters}u + column"
    return matrices.plan("conv", sizes, (x, left), (w, right), out, place)


def conv_input_grad(
    inputs: tuple[Spec, ...],
    outputs: tuple[Spec, ...],
    *,
    space: Ints,
    strides: Ints,
    padding: Pads,
    dilation: Ints,
    groups: int,
) -> Plan | None:
    """The gradient of a convolution's image: a row for each of its places."""
    (g, w), (out,) = inputs, outputs
    window, inside, filters = w.shape[:-2], w.shape[-2], w.shape[-1] // groups
    where = _Window(space, g.shape[1:-1], window, strides, padding, dilation)
    sizes = Sizes(groups, out.shape[0] * prod(space), inside, prod(window) * filters)
    left = where.windows_of(g, filters)
    right = _filter(w, window, inside, filters, True)
    place = f"row * {out.shape[-1]}u + batch * {inside}u + column"
    return matrices.plan("conv_input_grad", sizes, (g, left), (w, right), out, place)


def conv_filter_grad(
    inputs: tuple[Spec, ...],
    outputs: tuple[Spec, ...],
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
    dilation: Ints,
    groups: int,
) -> Plan | None:
    """The gradient of a convolution's filter: a row for each tap and channel."""
    (x, g), (out,) = inputs, outputs
    inside, filters = out.shape[-2], out.shape[-1] // groups
    space, own = g.shape[1:-1], steps(g)
    where = _Window(x.shape[1:-1], space, window, strides, padding, dilation)
    sizes = Sizes(groups, prod(window) * inside, filters, g.shape[0] * prod(space))
    left = where.windows(x, "inner", "row", inside)
    lines = coordinates("inner", (1, *space), "p", "unsigned")
    terms = [f"(int)p{d} * {own[d]}" for d in range(len(space) + 1)]
    terms.append(f"(int)(batch * {filters}u + column) * {own[-1]}")
    right = Operand(lines, " + ".join(terms), False, _width(g, filters))
    place = f"row * {out.shape[-1]}u + batch * {filters}u + column"
    return matrices.plan("conv_filter_grad", sizes, (x, left), (g, right), out, place)


PREPARE: dict[str, Callable[..., Plan | None]] = {
    "conv": conv,
    "conv_input_grad": conv_input_grad,
    "conv_filter_grad": conv_filter_grad,
}
