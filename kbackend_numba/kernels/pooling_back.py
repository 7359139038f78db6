"""Gradients of maxima and sums over windows: from windows to the elements under them.

Where windows are tiles, or lie apart, each row of windows has rows of the image to itself, and
writes them once. Where they overlap, an image's windows are taken one after the other and add to
what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kbackend.engine.program import Ints, Prepared, Region, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.finish import Part
from kbackend_numba.codegen.value import Value
from kbackend_numba.codegen.vectors import fill
from kbackend_numba.kernels.copying import packed
from kbackend_numba.kernels.ending import Ending, ending_of
from kbackend_numba.kernels.windows import (
    OVERLAPPING,
    TILES,
    First,
    Form,
    Pads,
    Plan,
    Windows,
    suits,
)
from kbackend_numba.native import Call, Prepare, native

Specs = tuple[Spec, ...]

# Writes a vector of an element: given the element's place in the image, the channel, the values and
# their mask.
_Put = Callable[[Value, Value, Value, Value | None], None]


def _scatter(
    dtype: str, chosen: bool, lie: str, covered: bool, form: Form, ending: Ending | None
) -> Callable[[Code], None]:
    """Writes `out, g` or, if `chosen`, `out, x, g`: g goes to where x has its maximum, or to all
    elements of a window. Items are images where windows overlap, else rows of windows."""

    def write(code: Code) -> None:
        windows = Windows(code, dtype, form)
        out, x, g = code.array(0), code.array(1), code.array(2 if chosen else 1)
        zero = code.number(0.0, dtype, windows.lanes)
        finish = ending and ending.writer(code, 3 if chosen else 2)

        def rows(image: Value, places: list[Value]) -> None:
            first = image * windows.image
            source = code.offset(x, first, dtype)
            given = code.offset(g, image * windows.out_image, dtype)

            def put(place: Value, channel: Value, value: Value, mask: Value | None) -> None:
                at = first + place + channel
                if lie == OVERLAPPING:
                    value = code.load(out, at, dtype, windows.lanes, mask) + value
                if finish is not None:
                    value = finish(value, Part(at, channel, mask))
                code.store(value, out, at, mask)

            if lie != TILES:
                _clear(code, windows, image, places)
            elif not covered:
                _put_rest(code, windows, places, put)
            with windows.each(places) as window:
                starts, at = windows.starts(window), windows.result(window)

                def vector(channel: Value, mask: Value | None) -> None:
                    value = code.load(given, at + channel, dtype, windows.lanes, mask)
                    if not chosen:
                        windows.visit(starts, lambda place, _: put(place, channel, value, mask))
                        return
                    found = First(windows)

                    def see(place: Value, number: Value) -> None:
                        now = code.load(source, place + channel, dtype, windows.lanes, mask)
                        found.see(now, number)

                    def give(place: Value, number: Value) -> None:
                        mine = found.number.value.equals(number.cast(found.number.type.dtype))
                        put(place, channel, code.select(mine, value, zero), mask)

                    windows.visit(starts, see)
                    windows.visit(starts, give)

                windows.vectors(vector)

        with code.loop(code.begin, code.end) as item:
            if lie == OVERLAPPING:
                rows(item, [])
            else:
                rows(*windows.split(item))

    return write


def _clear(code: Code, windows: Windows, image: Value, places: list[Value]) -> None:
    """Writes zeros to the part of an image that windows of the given first indices have for
    themselves: from their first row, or the image's, up to the next window, or the image's end."""
    zero, starts = code.number(0.0, windows.dtype), windows.starts(places)

    def along(axis: int, at: Value) -> None:
        if axis == len(places):
            count = windows.steps[axis - 1] if axis else windows.image
            fill(code, code.offset(code.array(0), at, windows.dtype), count, zero)
            return
        last = (places[axis] + 1).equals(windows.count[axis])
        begin = code.select(starts[axis] < 0, code.number(0), starts[axis])
        end = starts[axis] + windows.strides[axis]
        size = windows.space[axis]
        end = code.select(last | (end > size), size, end)
        with code.loop(begin, end) as index:
            along(axis + 1, at + index * windows.steps[axis])

    along(0, image * windows.image)


def _put_rest(code: Code, windows: Windows, places: list[Value], put: _Put) -> None:
    """Writes the elements that no tile covers: behind the last tile of each row and, for the last
    row of tiles, in the rows behind it."""
    zero = code.number(0.0, windows.dtype, windows.lanes)

    def along(axis: int, at: Value, outside: bool) -> None:
        if axis == len(places):
            tiles = windows.count[axis] * windows.window[axis]
            first = code.number(0) if outside else tiles
            with code.loop(first, windows.space[axis]) as index:
                place = at + index * windows.steps[axis]
                windows.vectors(lambda channel, mask: put(place, channel, zero, mask))
            return
        begin = places[axis] * windows.window[axis]
        end, step = begin + windows.window[axis], windows.steps[axis]
        with code.loop(begin, end) as index:
            along(axis + 1, at + index * step, outside)
        with code.when((places[axis] + 1).equals(windows.count[axis])):
            with code.loop(end, windows.space[axis]) as index:
                along(axis + 1, at + index * step, outside=True)

    along(0, code.number(0), outside=False)


# ----- preparing them -----


def _scattered(
    dtype: str, plan: Plan, arrays: Ints, chosen: bool, ending: Ending | None = None
) -> Prepared:
    """The kernel; `arrays` are the places of those of the call."""
    key = (dtype, chosen, plan.lie, plan.covered)
    made = function(("window_scatter", *key, *plan.form, ending), _scatter(*key, plan.form, ending))
    items = plan.images if plan.lie == OVERLAPPING else plan.rows
    # A tile is read before it is written, and so is what its ending takes.
    same = [arrays[3 + k] - 1 for k in ending.alike] if ending else []
    overwrites = [(i, 0) for i in (0, *same)] if chosen and plan.lie == TILES else []
    return native([Call(made, arrays, plan.sizes, items, plan.cost / items)], (), overwrites)


@packed
def _unpick(
    inputs: Specs, outputs: Specs, *, window: Ints, strides: Ints, padding: Pads
) -> Prepared | None:
    x, g = inputs
    if not (suits(x) and suits(g)) or g.dtype != x.dtype:
        return None
    plan = Plan(x, x.shape[1:-1], g.shape[1:-1], window, strides, padding)
    return _scattered(x.dtype, plan, (0, 1, 2), chosen=True)


@packed
def _unpick_ended(
    inputs: Specs, outputs: Specs, *, params: Mapping[str, Any], region: Region, place: int
) -> Prepared | None:
    """`window_unpick` with an elementwise ending, where tiles write each element once."""
    x, g, *others = inputs
    if not (suits(x) and suits(g)) or g.dtype != x.dtype:
        return None
    plan = Plan(x, x.shape[1:-1], g.shape[1:-1], **params)
    ending = ending_of(region, place, tuple(others), outputs[0], x.shape[-1])
    if ending is None or plan.lie != TILES or outputs[0].dtype != x.dtype:
        return None
    operands = tuple([3 + i - (i > place) for i in ending.others])
    return _scattered(x.dtype, plan, (0, 1, 2, *operands), chosen=True, ending=ending)


@packed
def _spread(
    inputs: Specs, outputs: Specs, *, space: Ints, window: Ints, strides: Ints, padding: Pads
) -> Prepared | None:
    (g,), (out,) = inputs, outputs
    if not (suits(g) and suits(out)):
        return None
    plan = Plan(out, space, g.shape[1:-1], window, strides, padding)
    return _scattered(out.dtype, plan, (0, 1), chosen=False)


PREPARE: dict[str, Prepare] = {"window_unpick": _unpick, "window_spread": _spread}
EPILOGUES: dict[str, Prepare] = {"window_unpick": _unpick_ended}
