"""The windows of images with channels last, in code: which elements are under each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import NamedTuple

from kbackend.engine.program import Ints, Spec
from kbackend_numba.codegen.code import Code, Var
from kbackend_numba.codegen.target import host
from kbackend_numba.codegen.value import Type, Value
from kbackend_numba.codegen.vectors import each_vector

Pads = tuple[tuple[int, int], ...]

# Windows of no more elements are written out where nothing of them lies in the padding.
_UNROLLED = 16
# Nanoseconds for a byte that is read or written, and for a vector of one element of a window.
_BYTE, _VECTOR = 0.035, 0.4

# How windows lie beside each other: one begins where the one before ends, there may be gaps between
# them, or they share elements.
TILES, APART, OVERLAPPING = "tiles", "apart", "overlapping"

# What to do with an element of a window: called with its place in the array, and its number.
Visit = Callable[[Value, Value], None]


class Form(NamedTuple):
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


class Windows:
    """The windows of an image, and the elements under each.

    Sizes that a call brings: channels, dimensions of the image, numbers of windows along these,
    and how far the first window begins before the image.

    Args:
        code: where to write.
        dtype: of the elements.
        form: of the windows.
    """

    def __init__(self, code: Code, dtype: str, form: Form) -> None:
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


class First:
    """The first maximum of a window, while its elements come one after the other."""

    def __init__(self, windows: Windows) -> None:
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


class Plan:
    """What the code of a kernel depends on, the sizes of its call, and its cost.

    Args:
        spec: of the images, or of the results.
        space: dimensions of an image.
        out: numbers of windows.
        window: sizes of a window.
        strides: from one window to the next.
        padding: elements before and behind the image along each dimension.

    Attributes:
        form: of the windows.
        sizes: of the call; see `Windows`.
        lie: how windows lie.
        covered: whether every element is in a window, and in one only.
        images: how many there are.
        rows: how many rows of windows there are.
        cost: nanoseconds for all.
    """

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
        self.form = Form(window, strides, padded, even)
        self.sizes = channels, *space, *out, *before
        self.lie = OVERLAPPING
        if all(s >= k for s, k in zip(strides, window, strict=True)):
            self.lie = TILES if window == strides and not padded else APART
        self.covered = self.lie == TILES and ends == list(space)
        self.rows = self.images * prod(out[:-1])
        elements = self.images * channels * (prod(space) + prod(out))
        vectors = self.images * prod(out) * prod(window) * -(-channels // lanes)
        self.cost = elements * itemsize * _BYTE + vectors * _VECTOR


def suits(spec: Spec) -> bool:
    """Whether there are kernels for an array."""
    return spec.dtype in ("float32", "float64") and spec.size > 0
