"""Maxima and sums over windows, and their gradients, into planned memory.

Images are taken in blocks that stay in a core's level 2 cache from one tap to the next, and blocks
are split over the threads. The formulas are those of `array_module/window.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import numpy as np

from kbackend.engine.array_module.taps import Slices, taps
from kbackend.engine.program import Prepared, Spec
from kbackend_numpy.kernels.packing import packed, zeros
from kbackend_numpy.kernels.parts import Batch

Array = Any
Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Specs = tuple[Spec, ...]

# Of one element by one tap.
_NANOSECONDS = 0.4
_NANOSECONDS_MASKED = 1.0

_BITS = {4: "int32", 8: "int64"}
_LOWEST = -float("inf")


# ----- sums and maxima -----


class _Fold(NamedTuple):
    """The windows of one axis: what each tap reads, and which positions read it."""

    taps: tuple[tuple[Slices, Slices], ...]
    shape: Ints  # of an image's result
    full: bool  # whether the first two taps are read by all positions

    def run(self, op: Any, start: float, x: Array, out: Array) -> None:
        rest = self.taps
        if self.full:
            op(x[rest[0][0]], x[rest[1][0]], out=out)
            rest = rest[2:]
        else:
            out.fill(start)
        for source, target in rest:
            part = out[target]
            op(part, x[source], out=part)


def _axis_taps(
    axis: int, size: int, window: int, stride: int, padding: tuple[int, int]
) -> tuple[tuple[Slices, Slices], ...]:
    """Slices of each tap's source and target along one axis."""
    before = (slice(None),) * axis
    return tuple(
        ((*before, tap.source[1]), (*before, tap.target[1]))
        for tap in taps((size,), (window,), (stride,), (padding,), (1,))
    )


def _folds(x: Ints, out: Ints, window: Ints, strides: Ints, padding: Pads) -> list[_Fold]:
    """One step per axis that has windows. The first axis first: its rows are the longest runs."""
    folds = []
    shape = list(x)
    for axis, (k, s, pads) in enumerate(zip(window, strides, padding, strict=True), 1):
        if k == s == 1 and pads == (0, 0):
            continue
        touched = _axis_taps(axis, x[axis], k, s, pads)
        shape[axis] = out[axis]
        everywhere = slice(0, out[axis])
        full = len(touched) > 1 and touched[0][1][-1] == touched[1][1][-1] == everywhere
        folds.append(_Fold(touched, tuple(shape[1:]), full))
    return folds


def _reduced(op: Any, start: float) -> Any:
    """The preparation of a reduction by `op` over windows."""

    @packed
    def prepare(
        inputs: Specs, outputs: Specs, *, window: Ints, strides: Ints, padding: Pads
    ) -> Prepared | None:
        """See `Kernel.prepare`."""
        (x,), (out,) = inputs, outputs
        folds = _folds(x.shape, out.shape, window, strides, padding)
        if not out.size:
            return zeros()
        if not x.size or not folds:
            return None
        work = _NANOSECONDS * x.shape[0] * sum(prod(f.shape) * len(f.taps) for f in folds)
        batch = Batch(x.shape[0], x.size // x.shape[0] * np.dtype(x.dtype).itemsize, work)

        def run(out: Array, x: Array, *between: Array) -> None:
            def block(images: slice, worker: int) -> None:
                part = x[images]
                for fold, memory in zip(folds, between, strict=False):
                    result = memory[worker][: len(part)]
                    fold.run(op, start, part, result)
                    part = result
                folds[-1].run(op, start, part, out[images])

            batch.run(block)

        return Prepared(
            run, tuple(batch.scratch(f.shape, x.dtype) for f in folds[:-1]), (), batch.work
        )

    return prepare


prepare_window_max = _reduced(np.maximum, _LOWEST)
prepare_window_sum = _reduced(np.add, 0.0)


@packed
def prepare_window_spread(
    inputs: Specs, outputs: Specs, *, space: Ints, window: Ints, strides: Ints, padding: Pads
) -> Prepared | None:
    """See `Kernel.prepare`."""
    (g,), (out,) = inputs, outputs
    if not g.size or not out.size:
        return zeros()
    # The last dimension first, while there is little of the others.
    steps = []
    shape = list(g.shape[1:])
    for axis in range(len(window), 0, -1):
        k, s, pads = window[axis - 1], strides[axis - 1], padding[axis - 1]
        if not k == s == 1 or pads != (0, 0):
            shape[axis - 1] = space[axis - 1]
            steps.append((_axis_taps(axis, space[axis - 1], k, s, pads), tuple(shape)))
    if not steps:
        return None
    work = _NANOSECONDS * g.shape[0] * sum(prod(shape) * len(axis) for axis, shape in steps)
    batch = Batch(g.shape[0], out.size // g.shape[0] * np.dtype(g.dtype).itemsize, work)

    def run(out: Array, g: Array, *between: Array) -> None:
        def block(images: slice, worker: int) -> None:
            part = g[images]
            for (touched, _), memory in zip(steps, (*between, None), strict=True):
                wider = out[images] if memory is None else memory[worker][: len(part)]
                wider.fill(0)
                for source, target in touched:
                    into = wider[source]
                    np.add(into, part[target], out=into)
                part = wider

        batch.run(block)

    scratch = tuple(batch.scratch(shape, g.dtype) for _, shape in steps[:-1])
    return Prepared(run, scratch, (), batch.work)


# ----- where the maximum comes from -----


class _Maxima:
    """The first maximum of each window: tap by tap, which positions take it from there."""

    def __init__(
        self, x: Spec, out: Ints, window: Ints, strides: Ints, padding: Pads, moved: str
    ) -> None:
        self.taps = taps(x.shape[1:-1], window, strides, padding, (1,) * len(window))
        self.folds = _folds(x.shape, out, window, strides, padding)
        work = _NANOSECONDS_MASKED * prod(out) * len(self.taps)
        itemsize = np.dtype(moved).itemsize
        self.batch = Batch(x.shape[0], x.size // x.shape[0] * itemsize, work)
        self.bits = np.dtype(_BITS[itemsize])
        shape, new = out[1:], self.batch.scratch
        self.scratch = (
            new(shape, "bool"),
            new(shape, "bool"),
            new(shape, self.bits.name),
            *(new(fold.shape, x.dtype) for fold in self.folds),
        )

    def each(
        self, x: Array, worker: int, scratch: tuple[Array, ...], use: Callable[..., None]
    ) -> None:
        """Calls `use(source, target, ones)` for each tap, with all bits set where it is taken."""
        images = len(x)
        found, still, bits, *between = (a[worker][:images] for a in scratch)
        greatest = x
        for fold, memory in zip(self.folds, between, strict=True):
            fold.run(np.maximum, _LOWEST, greatest, memory)
            greatest = memory
        has_nan = bool(np.isnan(greatest, out=found).any())
        still.fill(True)
        for _, source, target in self.taps:
            value, open_ = x[source], still[target]
            # Contiguous prefixes of the scratch memory, since not all positions see each tap.
            first, ones = (_prefix(a, open_.shape) for a in (found, bits))
            np.equal(value, greatest[target], out=first)
            if has_nan:
                # Where the maximum is NaN, it is the first NaN.
                is_nan = np.isnan(value, out=_prefix(bits.view(np.bool_), open_.shape))
                np.logical_or(first, is_nan, out=first)
            np.logical_and(first, open_, out=first)
            np.logical_xor(open_, first, out=open_)
            # All bits or none: faster than a choice, and unlike a product right for infinities.
            signs = first.view(np.int8)
            np.copyto(ones, np.negative(signs, out=signs))
            use(source, target, ones)


def _prefix(a: Array, shape: Ints) -> Array:
    """The first elements of contiguous memory as an array of `shape`."""
    return a.reshape(-1)[: prod(shape)].reshape(shape)


@packed
def prepare_window_pick(
    inputs: Specs, outputs: Specs, *, window: Ints, strides: Ints, padding: Pads
) -> Prepared | None:
    """See `Kernel.prepare`."""
    (x, t), (out,) = inputs, outputs
    if not x.size or not out.size:
        return zeros()
    maxima = _Maxima(x, out.shape, window, strides, padding, t.dtype)
    bits = maxima.bits

    def run(out: Array, x: Array, t: Array, *scratch: Array) -> None:
        def block(images: slice, worker: int) -> None:
            source_bits, into = t[images].view(bits), out[images].view(bits)
            into.fill(0)

            def use(source: Slices, target: Slices, ones: Array) -> None:
                np.bitwise_and(source_bits[source], ones, out=ones)
                # Only one tap contributes to each, whatever its bits.
                part = into[target]
                np.bitwise_or(part, ones, out=part)

            maxima.each(x[images], worker, scratch, use)

        maxima.batch.run(block)

    return Prepared(run, maxima.scratch, (), maxima.batch.work)


@packed
def prepare_window_unpick(
    inputs: Specs, outputs: Specs, *, window: Ints, strides: Ints, padding: Pads
) -> Prepared | None:
    """See `Kernel.prepare`."""
    x, g = inputs
    if not x.size or not g.size:
        return zeros()
    maxima = _Maxima(x, g.shape, window, strides, padding, g.dtype)
    bits, dtype = maxima.bits, np.dtype(g.dtype)
    apart = all(s >= k for s, k in zip(strides, window, strict=True))
    # Windows that lie apart write each element once. Are they all of them?
    written = sum(np.empty(x.shape[1:-1], bool)[tap.source[1:]].size for tap in maxima.taps)
    covered = apart and written == prod(x.shape[1:-1])

    def run(out: Array, x: Array, g: Array, *scratch: Array) -> None:
        def block(images: slice, worker: int) -> None:
            cotangent, into = g[images].view(bits), out[images]
            if not covered:
                into.fill(0)

            def use(source: Slices, target: Slices, ones: Array) -> None:
                chosen = np.bitwise_and(cotangent[target], ones, out=ones).view(dtype)
                part = into[source]
                if apart:
                    np.copyto(part, chosen)
                else:
                    np.add(part, chosen, out=part)

            maxima.each(x[images], worker, scratch, use)

        maxima.batch.run(block)

    return Prepared(run, maxima.scratch, (), maxima.batch.work)
