"""Convolution, channels last: forward, gradient in the input, gradient in the filters.

All three gather windows as matrices and multiply (`conv_products`). The input gradient is a
correlation of the cotangent with the filters turned round. At strides above 1 it falls apart into
one such correlation for each remainder of the input's positions, each with the taps that reach it.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np

from kbackend.engine.array_module import conv
from kbackend.engine.interface import Kernel, Prepare
from kbackend.engine.program import Prepared, Spec
from kbackend_numpy import threads
from kbackend_numpy.kernels import conv_depthwise
from kbackend_numpy.kernels.buffering import short_buffer
from kbackend_numpy.kernels.conv_axes import axes_of, phases_of
from kbackend_numpy.kernels.conv_depthwise import Depthwise
from kbackend_numpy.kernels.conv_products import nanoseconds
from kbackend_numpy.kernels.conv_rows import correlation, filter_gradient
from kbackend_numpy.kernels.packing import packed, zeros
from kbackend_numpy.kernels.parts import PARTS, run_parts, workers_for

Array = Any
Ints = tuple[int, ...]
Specs = tuple[Spec, ...]
Pads = tuple[tuple[int, int], ...]

# The gradient in an input of few channels is faster by other ways.
_FEW_CHANNELS = 8
# A depthwise convolution with more filters per channel than this is a grouped one.
_MANY_FILTERS = 8


def _depthwise(inner: int, groups: int, filters: int) -> bool:
    """Whether each group has one channel and few filters."""
    return inner == 1 < groups and filters <= _MANY_FILTERS * groups


@packed
def prepare_conv(
    inputs: Specs,
    outputs: Specs,
    *,
    strides: Ints,
    padding: Pads,
    dilation: Ints,
    groups: int = 1,
) -> Prepared | None:
    """See `Kernel.prepare`."""
    (x, w), (out,) = inputs, outputs
    *window, inner, filters = w.shape
    if not x.size or not w.size or not out.size:
        return zeros()
    if _depthwise(inner, groups, filters):
        how = (tuple(window), strides, padding, dilation)
        return conv_depthwise.prepare_conv(Depthwise(x.shape, out.shape, x.dtype, *how))
    axes = axes_of(x.shape[1:-1], out.shape[1:-1], tuple(window), strides, padding, dilation)
    work = nanoseconds(x.shape[0], axes, x.shape[-1], filters // groups)
    columns = correlation(x, axes, groups, filters, workers_for(work))

    def run(out: Array, x: Array, w: Array, *scratch: Array) -> None:
        by_group = w.reshape(-1, groups, filters // groups).swapaxes(0, 1)

        def part(index: int, worker: int) -> None:
            columns.run_part(index, worker, out, x, by_group, scratch)

        run_parts(part, columns.parts, columns.workers)

    return Prepared(run, columns.scratch, work=work if columns.workers > 1 else 0)


# ----- gradient in the input -----


@packed
def prepare_conv_input_grad(
    inputs: Specs,
    outputs: Specs,
    *,
    space: Ints,
    strides: Ints,
    padding: Pads,
    dilation: Ints,
    groups: int = 1,
) -> Prepared | None:
    """See `Kernel.prepare`."""
    (g, w), (out,) = inputs, outputs
    *window, inner, filters = w.shape
    channels = inner * groups
    if not g.size or not w.size or not out.size:
        return zeros()
    if groups == 1 and channels < _FEW_CHANNELS < filters:
        return None
    if _depthwise(inner, groups, filters):
        how = (tuple(window), strides, padding, dilation)
        return conv_depthwise.prepare_input_grad(Depthwise(out.shape, g.shape, g.dtype, *how))
    axes = axes_of(space, g.shape[1:-1], tuple(window), strides, padding, dilation)
    work = nanoseconds(g.shape[0], axes, filters, inner)
    workers = workers_for(work)
    phases = list(product(*map(phases_of, axes)))
    # The longest first, so that no thread waits long for another at the end.
    phases.sort(key=lambda phase: -prod(p.axis.taps for p in phase))
    places = [
        (slice(None), *(slice(p.first, None, s) for p, s in zip(phase, strides, strict=True)))
        for phase in phases
    ]
    subsets = [tuple(p.taps for p in phase) for phase in phases]
    reached = sum(all(p.axis.taps for p in phase) for phase in phases)
    correlations = [
        correlation(g, tuple(p.axis for p in phase), groups, channels, workers, len(phases) > 1)
        for phase in phases[:reached]
    ]
    parts = [(i, j) for i, each in enumerate(correlations) for j in range(each.parts)]
    # Positions that no tap reaches are zero.
    images = threads.ranges(g.shape[0], PARTS * workers)
    empty = [(i, slice(*r)) for i in range(reached, len(phases)) for r in images]

    def run(out: Array, g: Array, w: Array, turned: Array, *scratch: Array) -> None:
        filters = _turned(w, subsets[:reached], groups, turned)

        def part(index: int, worker: int) -> None:
            if index < len(parts):
                phase, local = parts[index]
                view = out[places[phase]]
                correlations[phase].run_part(local, worker, view, g, filters[phase], scratch)
            else:
                phase, batch = empty[index - len(parts)]
                out[places[phase]][batch] = 0

        run_parts(part, len(parts) + len(empty), workers)

    # One phase after the other uses the same scratch memory.
    scratch = [max(specs) for specs in zip(*(each.scratch for each in correlations), strict=True)]
    return Prepared(run, (Spec((w.size,), w.dtype), *scratch), work=work if workers > 1 else 0)


def _turned(w: Array, subsets: list[tuple[slice, ...]], groups: int, into: Array) -> list[Array]:
    """The filters that carry a cotangent back by a subset of taps each, written one by one.

    Each is `(groups, taps * filters, channels)`, numbers per group, with the last tap first.
    """
    *window, inner, filters = w.shape
    by_group = w.reshape(*window, inner, groups, filters // groups)
    rank, done, turned = len(window), 0, []
    for subset in subsets:
        # (*taps, channels, groups, filters) -> (groups, *taps, filters, channels)
        taps = by_group[subset][(slice(None, None, -1),) * rank]
        taps = taps.transpose(rank + 1, *range(rank), rank + 2, rank)
        part = into[done : done + taps.size]
        np.copyto(part.reshape(taps.shape), taps)
        turned.append(part.reshape(groups, -1, inner))
        done += taps.size
    return turned


# ----- gradient in the filters -----


@packed
def prepare_conv_filter_grad(
    inputs: Specs,
    outputs: Specs,
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
    dilation: Ints,
    groups: int = 1,
) -> Prepared | None:
    """See `Kernel.prepare`."""
    (x, g), (out,) = inputs, outputs
    channels, filters = x.shape[-1], g.shape[-1]
    if not x.size or not g.size or not out.size:
        return zeros()
    if _depthwise(channels // groups, groups, filters):
        how = (window, strides, padding, dilation)
        return conv_depthwise.prepare_filter_grad(Depthwise(x.shape, g.shape, x.dtype, *how, 2))
    axes = axes_of(x.shape[1:-1], g.shape[1:-1], window, strides, padding, dilation)
    work = nanoseconds(x.shape[0], axes, channels, filters // groups)
    gradient = filter_gradient(x, axes, groups, filters, workers_for(work))
    return Prepared(gradient.run, gradient.scratch, work=work if gradient.workers > 1 else 0)


# ----- the table -----

_PREPARE: dict[str, Prepare] = {
    "conv": prepare_conv,
    "conv_input_grad": prepare_conv_input_grad,
    "conv_filter_grad": prepare_conv_filter_grad,
}

KERNELS: dict[str, Kernel] = {
    name: Kernel(short_buffer(kernel.fn), kernel.dtypes, _PREPARE[name])
    for name, kernel in conv.kernels(np).items()
}
