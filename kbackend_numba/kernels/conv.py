"""Convolutions, channels last: forward, gradient in the input, gradient in the filters."""

from __future__ import annotations

from itertools import product
from math import prod

from kbackend.engine.program import Prepared, Spec
from kbackend_numba.codegen.target import host
from kbackend_numba.kernels import winograd_filter
from kbackend_numba.kernels.conv_choice import winograd_tile
from kbackend_numba.kernels.conv_direct import Pass, correlation
from kbackend_numba.kernels.conv_filter import filter_gradient
from kbackend_numba.kernels.conv_source import three
from kbackend_numba.kernels.conv_weights import Filters
from kbackend_numba.kernels.copying import packed
from kbackend_numba.kernels.winograd import convolution
from kbackend_numba.native import Prepare
from kbackend_numpy.kernels.conv_axes import axes_of, phases_of

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Specs = tuple[Spec, ...]

_DTYPES = ("float32", "float64")


def _spread(shape: Ints) -> Ints:
    """A shape with three spatial dimensions."""
    return (shape[0], *three(shape[1:-1], 1), shape[-1])


def _declined(inputs: Specs, outputs: Specs) -> bool:
    """Whether there is no compiled kernel for the arrays."""
    specs = (*inputs, *outputs)
    return specs[0].dtype not in _DTYPES or not all(s.size for s in specs)


def _apart(inner: int, filters: int, groups: int) -> bool:
    """Whether each channel has one filter of its own."""
    return inner == 1 and groups == filters > 1


def _tile(x: Spec, y: Spec, window: Ints, strides: Ints, dilation: Ints, groups: int) -> int:
    """See `winograd_tile`; 0 where the method doesn't apply."""
    lanes = host().lanes()
    plain = window == (3, 3) and {*strides, *dilation, groups} == {1}
    if not plain or x.dtype != "float32" or x.shape[-1] % lanes or y.shape[-1] % lanes:
        return 0
    return winograd_tile(*y.shape[:3], x.shape[-1], y.shape[-1])


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
    (x, w), (y,) = inputs, outputs
    if _declined(inputs, outputs):
        return None
    *window, inner, filters = w.shape
    axes = axes_of(x.shape[1:-1], y.shape[1:-1], tuple(window), strides, padding, dilation)
    every = Pass(three(axes), tuple(range(prod(window))), (0, 0, 0), (1, 1, 1))
    if _apart(inner, filters, groups):
        alone = Filters(1, 1, filters, filters, 1, 0, filters)
        return correlation(_spread(x.shape), _spread(y.shape), x.dtype, [every], alone, True)
    each = filters // groups
    how = Filters(groups, inner, each, filters, 1, each, inner * filters)
    m = _tile(x, y, tuple(window), strides, dilation, groups)
    if m:
        low = tuple([pair[0] for pair in padding])
        return convolution(_spread(x.shape), _spread(y.shape), low, how, False, m)
    return correlation(_spread(x.shape), _spread(y.shape), x.dtype, [every], how)


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
    (g, w), (x,) = inputs, outputs
    if _declined(inputs, outputs):
        return None
    *window, inner, filters = w.shape
    each, apart = filters // groups, _apart(inner, filters, groups)
    how = Filters(groups, each, inner, 1, filters, each, inner * filters)
    if apart:
        how = Filters(1, 1, filters, filters, 1, 0, filters)
    m = _tile(g, x, tuple(window), strides, dilation, groups)
    if m:
        low = tuple([2 - pair[0] for pair in padding])
        return convolution(_spread(g.shape), _spread(x.shape), low, how, True, m)
    axes = axes_of(space, g.shape[1:-1], tuple(window), strides, padding, dilation)
    passes = []
    for phases in product(*map(phases_of, axes)):
        taps = [range(k)[phase.taps][::-1] for k, phase in zip(window, phases, strict=True)]
        passes.append(
            Pass(
                three([phase.axis for phase in phases]),
                tuple(_number(tap, tuple(window)) for tap in product(*taps)),
                three([phase.first for phase in phases], 0),
                three(strides, 1),
            )
        )
    return correlation(_spread(g.shape), _spread(x.shape), g.dtype, passes, how, apart)


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
    x, g = inputs
    if _declined(inputs, outputs):
        return None
    m = _tile(x, g, window, strides, dilation, groups)
    if m:
        low = tuple([pair[0] for pair in padding])
        return winograd_filter.filter_gradient(_spread(x.shape), _spread(g.shape), low, m)
    axes = axes_of(x.shape[1:-1], g.shape[1:-1], window, strides, padding, dilation)
    apart = _apart(x.shape[-1] // groups, g.shape[-1], groups)
    return filter_gradient(
        _spread(x.shape), _spread(g.shape), x.dtype, three(axes), 1 if apart else groups, apart
    )


def _number(tap: Ints, window: Ints) -> int:
    """The number of a tap in the order of the filters."""
    found = 0
    for index, size in zip(tap, window, strict=True):
        found = found * size + index
    return found


PREPARE: dict[str, Prepare] = {
    "conv": prepare_conv,
    "conv_input_grad": prepare_conv_input_grad,
    "conv_filter_grad": prepare_conv_filter_grad,
}
