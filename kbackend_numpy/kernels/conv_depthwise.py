"""Depthwise convolution: products and sums tap by tap, over blocks of images.

With the same filter at every pixel of a row, whole rows multiply in one run.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from kbackend.engine.array_module.taps import Tap, taps
from kbackend.engine.program import Prepared, Spec
from kbackend_numpy.kernels.parts import PARTS, Batch

Array = Any
Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]

# Of one element by one tap.
_NANOSECONDS = 0.7


class Depthwise:
    """One depthwise convolution: x `(batch, *space, channels)`, g `(batch, *positions, filters)`.

    Each channel has `filters / channels` filters of its own.
    """

    def __init__(
        self, x: Ints, g: Ints, dtype: str, window: Ints, strides: Ints, padding: Pads,
        dilation: Ints, per_worker: int = PARTS,
    ) -> None:  # fmt: skip
        self.x, self.g, self.dtype, self.window = x, g, dtype, window
        self.taps = taps(x[1:-1], window, strides, padding, dilation)
        self.each = g[-1] // x[-1]
        work = _NANOSECONDS * prod(g) * prod(window)
        itemsize = np.dtype(dtype).itemsize
        larger = max(prod(x[1:]) * self.each, prod(g[1:]))
        self.batch = Batch(x[0], larger * itemsize, work, per_worker)
        # Filters per row, products, inputs with each channel as often as it has filters, or sums
        # over the filters of a channel.
        spread = (*x[1:-1], g[-1]) if self.each > 1 else (0,)
        summed = (*g[1:-1], x[-1]) if self.each > 1 else (0,)
        self.rows = Spec((*window, g[-2], g[-1]), dtype)
        self.products = self.batch.scratch(g[1:], dtype)
        self.spread = self.batch.scratch(spread, dtype)
        self.summed = self.batch.scratch(summed, dtype)

    def fill_rows(self, rows: Array, w: Array) -> None:
        """Writes the filters, once for each pixel of a row."""
        np.copyto(rows, w.reshape(*self.window, 1, w.shape[-1]))

    def widened(self, x: Array, memory: Array) -> Array:
        """The images with each channel as often as it has filters."""
        if self.each == 1:
            return x
        wide = memory[: len(x)]
        np.copyto(wide.reshape(*x.shape, self.each), x[..., None])
        return wide

    def product(self, tap: Tap, x: Array, rows: Array, products: Array) -> Array:
        """x times the tap's filters, for elements of the positions that read them."""
        width = tap.target[-1].stop - tap.target[-1].start
        into = products.reshape(-1)[: x.size].reshape(x.shape)
        return np.multiply(x, rows[tap.place][:width], out=into)


def prepare_conv(of: Depthwise) -> Prepared:
    """The forward convolution."""

    def run(out: Array, x: Array, w: Array, rows: Array, products: Array, spread: Array) -> None:
        of.fill_rows(rows, w)

        def block(images: slice, worker: int) -> None:
            source, into = of.widened(x[images], spread[worker]), out[images]
            into.fill(0)
            for tap in of.taps:
                part = into[tap.target]
                product = of.product(tap, source[tap.source], rows, products[worker])
                np.add(part, product, out=part)

        of.batch.run(block)

    return Prepared(run, (of.rows, of.products, of.spread), work=of.batch.work)


def prepare_input_grad(of: Depthwise) -> Prepared:
    """The gradient in the input."""

    def run(out: Array, g: Array, w: Array, rows: Array, products: Array, summed: Array) -> None:
        of.fill_rows(rows, w)

        def block(images: slice, worker: int) -> None:
            source, into = g[images], out[images]
            into.fill(0)
            for tap in of.taps:
                product = of.product(tap, source[tap.target], rows, products[worker])
                part = into[tap.source]
                if of.each > 1:
                    memory = summed[worker].reshape(-1)[: part.size].reshape(part.shape)
                    product = _summed(product.reshape(*part.shape, of.each), memory)
                np.add(part, product, out=part)

        of.batch.run(block)

    return Prepared(run, (of.rows, of.products, of.summed), work=of.batch.work)


def _summed(a: Array, out: Array) -> Array:
    """The sum over a short last axis: far faster by slices than by a reduction."""
    np.add(a[..., 0], a[..., 1], out=out)
    for i in range(2, a.shape[-1]):
        np.add(out, a[..., i], out=out)
    return out


def prepare_filter_grad(of: Depthwise) -> Prepared:
    """The gradient in the filters; parts have sums of their own, added in one order."""
    filters = of.g[-1]
    pixels = of.batch.step * prod(of.g[1:-1])

    def run(
        out: Array, x: Array, g: Array, ones: Array, products: Array, spread: Array, sums: Array,
        totals: Array,
    ) -> None:  # fmt: skip
        ones.fill(1)

        def part(index: int, worker: int) -> None:
            total, summed = totals[index], sums[worker]
            total.fill(0)
            for images in of.batch.blocks(index):
                source, cotangent = of.widened(x[images], spread[worker]), g[images]
                for tap in of.taps:
                    element, other = source[tap.source], cotangent[tap.target]
                    product = products[worker].reshape(-1)[: other.size]
                    np.multiply(element, other, out=product.reshape(other.shape))
                    by_row = product.reshape(-1, filters)
                    np.matmul(ones[: len(by_row)], by_row, out=summed)
                    total[tap.place] += summed

        of.batch.run_parts(part)
        for other in totals[1:]:
            np.add(totals[0], other, out=totals[0])
        np.copyto(out.reshape(totals[0].shape), totals[0])

    scratch = (
        Spec((pixels,), of.dtype),
        of.products,
        of.spread,
        Spec((of.batch.workers, filters), of.dtype),
        Spec((of.batch.parts, *of.window, filters), of.dtype),
    )
    return Prepared(run, scratch, work=of.batch.work)
