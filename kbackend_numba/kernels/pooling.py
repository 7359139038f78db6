"""Maxima and sums over windows, and their gradients, channels last.

Vectors run along the channels. A window's elements are taken one after the other, in row-major
order: of equal maxima the first one counts, and where one is NaN, the first NaN.

Gradients go from windows to the elements under them. Where windows lie apart, each row of windows
has rows of the image to itself, and writes them once. Where they overlap, an image's windows are
taken one after the other and add to what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import NamedTuple

from kbackend.engine.program import Prepared, Spec
from kbackend_numba.codegen.code import Code, Var
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.target import host
from kbackend_numba.codegen.value import Address, Type, Value
from kbackend_numba.codegen.vectors import each_vector, fill
from kbackend_numba.kernels.copying import packed
from kbackend_numba.native import Call, Prepare, native

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Specs = tuple[Spec, ...]

# Windows of no more elements are written out where nothing of them lies in the padding.
_UNROLLED = 16
# Nanoseconds for a byte that is read or written, and for a vector of one element of a window.
_BYTE, _VECTOR = 0.035, 0.4

# What to do with an element of a window: called with its place in the array, and its number.
Visit = Callable[[Value, Value], None]


class _Form(NamedTuple):
    """What the code of all kernels depends on.

    Attributes:
        window: sizes of a window.
        strides: from one window to the next.
        padded: whether parts of windows may lie outside of the image.
        even: whether channels fill whole vectors.
    """

    window: Ints
    strides: Ints
    padded: bool
    even: bool


class _Windows:
    """The windows of an image, and the elements under each.

    Sizes that a call brings: channels, dimensions of the image, numbers of windows along these,
    and how far the first window begins before the image.

    Args:
        code: where to write.
        dtype: of the elements.
        form: of the windows.
    """

    def __init__(self, code: Code, dtype: str, form: _Form) -> None:
        self.code, self.dtype = code, dtype
        self.lanes = code.target.lanes(Type(dtype).bits // 8)
        self.window, self.strides, self.padded, self.even = form
        rank = self.rank = len(self.window)
        sizes = [code.size(i) for i in range(1 + 3 * rank)]
        self.channels = sizes[0]
        self.space, self.count, self.before = (
            sizes[1 + k * rank : 1 + (k + 1) * rank] for k in range(3)
        )
        # Elements from one index to the next, in the image and among the results.
        self.steps = _steps(self.channels, self.space)
        self.out_steps = _steps(self.channels, self.count)
        self.image = self.steps[0] * self.space[0]
        self.out_image = self.out_steps[0] * self.count[0]

    def split(self, item: Value) -> tuple[Value, list[Value]]:
        """The image that a row of windows belongs to, and its place in all dimensions but the
        last."""
        places = []
        for count in reversed(self.count[:-1]):
            places.append(item % count)
            item = item // count
        return item, places[::-1]

    @contextmanager
    def each(self, places: list[Value]) -> Iterator[list[Value]]:
        """Runs what is inside for all windows whose first indices are given; with all indices."""
        if len(places) == self.rank:
            yield places
            return
        with self.code.loop(0, self.count[len(places)]) as place:
            with self.each([*places, place]) as all_places:
                yield all_places

    def result(self, places: list[Value]) -> Value:
        """Where a window's results begin in those of an image."""
        return _dot(self.code, places, self.out_steps)

    def starts(self, places: list[Value]) -> list[Value]:
        """The indices at which a window begins; they may be negative."""
        zipped = zip(places, self.strides, self.before, strict=False)
        return [place * stride - before for place, stride, before in zipped]

    def visit(self, starts: list[Value], visit: Visit) -> None:
        """Writes `visit` for the elements under a window, by their places in an image.

        Args:
            starts: the indices at which the window begins.
            visit: what to write; it may be written several times over.
        """
        code = self.code
        if not self.padded and prod(self.window) <= _UNROLLED:
            self._all(starts, visit)
            return
        # Along each dimension which elements of the window are in the image.
        zero = code.number(0)
        first = [code.select(start < 0, -start, zero) for start in starts]
        stop = [
            code.select(start + k > size, size - start, code.number(k))
            for start, k, size in zip(starts, self.window, self.space, strict=True)
        ]
        if prod(self.window) > _UNROLLED:
            self._those(starts, first, stop, visit)
            return
        inside = code.number(1, "bool")
        for a, b, k in zip(first, stop, self.window, strict=True):
            inside = inside & a.equals(0) & b.equals(k)
        with code.either(inside) as (then, otherwise):
            with then:
                self._all(starts, visit)
            with otherwise:
                self._those(starts, first, stop, visit)

    def _all(self, starts: list[Value], visit: Visit) -> None:
        code = self.code
        base = _dot(code, starts, self.steps)
        for number in range(prod(self.window)):
            offset, rest = code.number(0), number
            for k, step in zip(reversed(self.window), reversed(self.steps), strict=True):
                offset = offset + step * (rest % k)
                rest //= k
            visit(base + offset, code.number(number))

    def _those(
        self, starts: list[Value], first: list[Value], stop: list[Value], visit: Visit
    ) -> None:
        def along(axis: int, at: Value, number: Value) -> None:
            if axis == self.rank:
                visit(at, number)
                return
            with self.code.loop(first[axis], stop[axis]) as k:
                place = at + (starts[axis] + k) * self.steps[axis]
                along(axis + 1, place, number * self.window[axis] + k)

        along(0, self.code.number(0), self.code.number(0))

    def vectors(self, body: Callable[[Value, Value | None], None]) -> None:
        """Writes `body` for all vectors of channels."""
        each_vector(self.code, self.channels, self.lanes, body, self.even)


def _steps(channels: Value, sizes: list[Value]) -> list[Value]:
    steps = [channels]
    for size in reversed(sizes[1:]):
        steps.append(steps[-1] * size)
    return steps[::-1]


def _dot(code: Code, places: list[Value], steps: list[Value]) -> Value:
    total = code.number(0)
    for place, step in zip(places, steps, strict=False):
        total = total + place * step
    return total


class _First:
    """The first maximum of a window, while its elements come one after the other."""

    def __init__(self, windows: _Windows) -> None:
        code, self._dtype = windows.code, windows.dtype
        self._code = code
        number = "int32" if windows.dtype == "float32" else "int64"
        self.best = code.var(code.number(-float("inf"), windows.dtype, windows.lanes))
        # Where all are -inf, it is the first one.
        self.number: Var = code.var(code.number(-1, number, windows.lanes))

    def see(self, value: Value, number: Value) -> Value:
        """Takes in the next element; whether it is the first maximum so far."""
        code, best, chosen = self._code, self.best.value, self.number.value
        greater = ~(value <= best) & best.equals(best) | (chosen < 0)
        self.best.set(code.select(greater, value, best))
        number = code.splat(number.cast(chosen.type.dtype), chosen.type.lanes)
        self.number.set(code.select(greater, number, chosen))
        return greater


# ----- from elements to windows -----


def _reduce(dtype: str, greatest: bool, form: _Form) -> Callable[[Code], None]:
    """Writes `out, x`: maxima or sums. Items are rows of windows."""

    def write(code: Code) -> None:
        windows = _Windows(code, dtype, form)
        out, x = code.array(0), code.array(1)
        start = code.number(-float("inf") if greatest else 0.0, dtype, windows.lanes)

        def row(image: Value, places: list[Value]) -> None:
            source = code.offset(x, image * windows.image, dtype)
            target = code.offset(out, image * windows.out_image, dtype)
            with windows.each(places) as window:
                starts, at = windows.starts(window), windows.result(window)

                def vector(channel: Value, mask: Value | None) -> None:
                    total = code.var(start)

                    def see(place: Value, number: Value) -> None:
                        v = code.load(source, place + channel, dtype, windows.lanes, mask)
                        now = total.value
                        total.set(code.maximum(now, v) if greatest else now + v)

                    windows.visit(starts, see)
                    code.store(total.value, target, at + channel, mask)

                windows.vectors(vector)

        _rows(code, windows, row)

    return write


def _pick(dtype: str, form: _Form) -> Callable[[Code], None]:
    """Writes `out, x, t`: of t what stands where x has its maximum. Items are rows of windows."""

    def write(code: Code) -> None:
        windows = _Windows(code, dtype, form)
        out, x, t = code.array(0), code.array(1), code.array(2)
        zero = code.number(0.0, dtype, windows.lanes)

        def row(image: Value, places: list[Value]) -> None:
            source, given = (code.offset(a, image * windows.image, dtype) for a in (x, t))
            target = code.offset(out, image * windows.out_image, dtype)
            with windows.each(places) as window:
                starts, at = windows.starts(window), windows.result(window)

                def vector(channel: Value, mask: Value | None) -> None:
                    first, picked = _First(windows), code.var(zero)

                    def see(place: Value, number: Value) -> None:
                        v, w = (
                            code.load(a, place + channel, dtype, windows.lanes, mask)
                            for a in (source, given)
                        )
                        picked.set(code.select(first.see(v, number), w, picked.value))

                    windows.visit(starts, see)
                    code.store(picked.value, target, at + channel, mask)

                windows.vectors(vector)

        _rows(code, windows, row)

    return write


def _rows(code: Code, windows: _Windows, row: Callable[[Value, list[Value]], None]) -> None:
    with code.loop(code.begin, code.end) as item:
        row(*windows.split(item))


# ----- from windows to elements -----


def _scatter(
    dtype: str, chosen: bool, apart: bool, covered: bool, form: _Form
) -> Callable[[Code], None]:
    """Writes `out, g` or, if `chosen`, `out, x, g`: g goes to where x has its maximum, or to all
    elements of a window. Items are rows of windows where these lie apart, else images."""

    def write(code: Code) -> None:
        windows = _Windows(code, dtype, form)
        out, x, g = code.array(0), code.array(1), code.array(2 if chosen else 1)
        zero = code.number(0.0, dtype, windows.lanes)

        def put(target: Address, place: Value, value: Value, mask: Value | None) -> None:
            if not apart:
                value = code.load(target, place, dtype, windows.lanes, mask) + value
            code.store(value, target, place, mask)

        def rows(image: Value, places: list[Value]) -> None:
            source = code.offset(x, image * windows.image, dtype)
            target = code.offset(out, image * windows.image, dtype)
            given = code.offset(g, image * windows.out_image, dtype)
            if not covered:
                _clear(code, windows, target, places)
            with windows.each(places) as window:
                starts, at = windows.starts(window), windows.result(window)

                def vector(channel: Value, mask: Value | None) -> None:
                    value = code.load(given, at + channel, dtype, windows.lanes, mask)
                    if not chosen:
                        windows.visit(
                            starts, lambda place, _: put(target, place + channel, value, mask)
                        )
                        return
                    first = _First(windows)

                    def see(place: Value, number: Value) -> None:
                        first.see(
                            code.load(source, place + channel, dtype, windows.lanes, mask), number
                        )

                    def give(place: Value, number: Value) -> None:
                        mine = first.number.value.equals(number.cast(first.number.type.dtype))
                        put(target, place + channel, code.select(mine, value, zero), mask)

                    windows.visit(starts, see)
                    windows.visit(starts, give)

                windows.vectors(vector)

        with code.loop(code.begin, code.end) as item:
            if apart:
                rows(*windows.split(item))
            else:
                rows(item, [])

    return write


def _clear(code: Code, windows: _Windows, image: Address, places: list[Value]) -> None:
    """Writes zeros to the part of an image that windows of the given first indices have for
    themselves: from their first row, or the image's, up to the next window, or the image's end."""
    zero = code.number(0.0, windows.dtype)
    starts = windows.starts(places)

    def along(axis: int, at: Value) -> None:
        if axis == len(places):
            count = windows.steps[axis - 1] if axis else windows.image
            fill(code, code.offset(image, at, windows.dtype), count, zero)
            return
        last = (places[axis] + 1).equals(windows.count[axis])
        begin = code.select(starts[axis] < 0, code.number(0), starts[axis])
        end = starts[axis] + windows.strides[axis]
        size = windows.space[axis]
        end = code.select(last | (end > size), size, end)
        with code.loop(begin, end) as index:
            along(axis + 1, at + index * windows.steps[axis])

    along(0, code.number(0))


# ----- preparing them -----


class _Plan:
    """What the code of a kernel depends on, the sizes of its call, and its cost."""

    def __init__(
        self, spec: Spec, space: Ints, out: Ints, window: Ints, strides: Ints, padding: Pads
    ) -> None:
        self.dtype, self.images, channels = spec.dtype, spec.shape[0], spec.shape[-1]
        self.window, self.strides = window, strides
        before = tuple([low for low, _ in padding])
        # Elements behind the last window belong to none; windows may also end behind the image.
        ends = [
            (o - 1) * s + k - b for o, s, k, b in zip(out, strides, window, before, strict=True)
        ]
        padded = any(before) or any(end > size for end, size in zip(ends, space, strict=True))
        itemsize = Type(self.dtype).bits // 8
        lanes = host().lanes(itemsize)
        even = channels % lanes == 0
        self.form = _Form(window, strides, padded, even)
        self.sizes = channels, *space, *out, *before
        self.apart = all(s >= k for s, k in zip(strides, window, strict=True))
        self.covered = self.apart and not any(before) and ends == list(space) and window == strides
        self.rows = self.images * prod(out[:-1])
        elements = self.images * channels * (prod(space) + prod(out))
        vectors = self.images * prod(out) * prod(window) * -(-channels // lanes)
        self.cost = elements * itemsize * _BYTE + vectors * _VECTOR


def _whole(spec: Spec) -> bool:
    return spec.dtype in ("float32", "float64") and spec.size > 0


def _reduced(greatest: bool) -> Prepare:
    @packed
    def prepare(
        inputs: Specs, outputs: Specs, *, window: Ints, strides: Ints, padding: Pads
    ) -> Prepared | None:
        (x,), (out,) = inputs, outputs
        if not (_whole(x) and _whole(out)):
            return None
        plan = _Plan(x, x.shape[1:-1], out.shape[1:-1], window, strides, padding)
        name = "window_max" if greatest else "window_sum"
        made = function((name, x.dtype, *plan.form), _reduce(x.dtype, greatest, plan.form))
        return native([Call(made, (0, 1), plan.sizes, plan.rows, plan.cost / plan.rows)])

    return prepare


@packed
def _prepare_pick(
    inputs: Specs, outputs: Specs, *, window: Ints, strides: Ints, padding: Pads
) -> Prepared | None:
    (x, t), (out,) = inputs, outputs
    if not (_whole(x) and _whole(out)) or t.dtype != x.dtype:
        return None
    plan = _Plan(x, x.shape[1:-1], out.shape[1:-1], window, strides, padding)
    made = function(("window_pick", x.dtype, *plan.form), _pick(x.dtype, plan.form))
    return native([Call(made, (0, 1, 2), plan.sizes, plan.rows, plan.cost / plan.rows)])


def _scattered(spec: Spec, plan: _Plan, chosen: bool) -> Prepared:
    key = (spec.dtype, chosen, plan.apart, plan.covered)
    made = function(("window_scatter", *key, *plan.form), _scatter(*key, plan.form))
    items = plan.rows if plan.apart else plan.images
    arrays = (0, 1, 2) if chosen else (0, 1)
    return native([Call(made, arrays, plan.sizes, items, plan.cost / items)])


@packed
def _prepare_unpick(
    inputs: Specs, outputs: Specs, *, window: Ints, strides: Ints, padding: Pads
) -> Prepared | None:
    x, g = inputs
    if not (_whole(x) and _whole(g)) or g.dtype != x.dtype:
        return None
    plan = _Plan(x, x.shape[1:-1], g.shape[1:-1], window, strides, padding)
    return _scattered(x, plan, chosen=True)


@packed
def _prepare_spread(
    inputs: Specs, outputs: Specs, *, space: Ints, window: Ints, strides: Ints, padding: Pads
) -> Prepared | None:
    (g,), (out,) = inputs, outputs
    if not (_whole(g) and _whole(out)):
        return None
    plan = _Plan(out, space, g.shape[1:-1], window, strides, padding)
    return _scattered(out, plan, chosen=False)


PREPARE: dict[str, Prepare] = {
    "window_max": _reduced(greatest=True),
    "window_sum": _reduced(greatest=False),
    "window_pick": _prepare_pick,
    "window_unpick": _prepare_unpick,
    "window_spread": _prepare_spread,
}
