"""Convolutions, channels last: forward, gradient in the input, gradient in the filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from math import prod
from typing import Any

from kbackend.engine.program import Prepared, Region, Spec
from kbackend_numba.codegen.target import host
from kbackend_numba.kernels import winograd_filter, winograd_parts
from kbackend_numba.kernels.conv_choice import pays, winograd_tile
from kbackend_numba.kernels.conv_direct import Ended, Pass, correlation
from kbackend_numba.kernels.conv_filter import filter_gradient
from kbackend_numba.kernels.conv_source import three
from kbackend_numba.kernels.conv_weights import Filters
from kbackend_numba.kernels.copying import packed
from kbackend_numba.kernels.ending import ending_of
from kbackend_numba.native import Native, Prepare
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


def _apart(inner: int, filters: int, groups: int, dtype: str) -> int:
    """Channels of a group, if it has as many filters and vectors are whole groups; else 0."""
    lanes = host().lanes(4 if dtype == "float32" else 8)
    alike = groups > 1 and filters == inner * groups
    return inner if alike and inner < lanes and lanes % inner == 0 else 0


def _lanewise(share: int, filters: int, back: bool) -> Filters:
    """Filters whose channels are lanes, as one group; see `_apart`."""
    if share > 1 and back:
        return Filters(1, 1, filters, 1, filters, 0, share * filters)
    return Filters(1, 1, filters, filters, 1, 0, share * filters)


def _tile(window: Ints, strides: Ints, dilation: Ints, groups: int, *arrays: Spec) -> int:
    """See `winograd_tile`; 0 where the method doesn't apply."""
    lanes = host().lanes()
    plain = window == (3, 3) and {*strides, *dilation, groups} == {1}
    if not plain or arrays[0].dtype != "float32" or any(a.shape[-1] % lanes for a in arrays):
        return 0
    return winograd_tile()


def _forward(
    x: Spec,
    w: Spec,
    y: Spec,
    ended: Ended,
    *,
    strides: Ints,
    padding: Pads,
    dilation: Ints,
    groups: int = 1,
) -> Native:
    *window, inner, filters = w.shape
    axes = axes_of(x.shape[1:-1], y.shape[1:-1], tuple(window), strides, padding, dilation)
    every = Pass(three(axes), tuple(range(prod(window))), (0, 0, 0), (1, 1, 1))
    shapes = _spread(x.shape), _spread(y.shape)
    apart = _apart(inner, filters, groups, x.dtype)
    if apart:
        lanewise = _lanewise(apart, filters, False)
        return correlation(*shapes, x.dtype, [every], lanewise, apart, ended)
    each = filters // groups
    how = Filters(groups, inner, each, filters, 1, each, inner * filters)
    m = _tile(tuple(window), strides, dilation, groups, x, y)
    if m and pays(winograd_parts.cost(m, y.shape, inner), 9 * inner * y.size):
        low = tuple([pair[0] for pair in padding])
        return winograd_parts.convolution(m, low, *shapes, how, False, ended)
    return correlation(*shapes, x.dtype, [every], how, 0, ended)


def _backward(
    g: Spec,
    w: Spec,
    x: Spec,
    ended: Ended,
    *,
    space: Ints,
    strides: Ints,
    padding: Pads,
    dilation: Ints,
    groups: int = 1,
) -> Native:
    *window, inner, filters = w.shape
    each, apart = filters // groups, _apart(inner, filters, groups, g.dtype)
    how = Filters(groups, each, inner, 1, filters, each, inner * filters)
    if apart:
        how = _lanewise(apart, filters, True)
    shapes = _spread(g.shape), _spread(x.shape)
    m = _tile(tuple(window), strides, dilation, groups, g, x)
    if m and pays(winograd_parts.cost(m, x.shape, filters), 9 * inner * g.size):
        low = tuple([2 - pair[0] for pair in padding])
        return winograd_parts.convolution(m, low, *shapes, how, True, ended)
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
    return correlation(*shapes, g.dtype, passes, how, apart, ended)


def _number(tap: Ints, window: Ints) -> int:
    """The number of a tap in the order of the filters."""
    found = 0
    for index, size in zip(tap, window, strict=True):
        found = found * size + index
    return found


def _plain(make: Callable[..., Native]) -> Prepare:
    """What prepares a kernel without an ending; see `Kernel.prepare`."""

    @packed
    def prepare(inputs: Specs, outputs: Specs, **params: Any) -> Prepared | None:
        if _declined(inputs, outputs):
            return None
        return make(*inputs, *outputs, Ended(3), **params)

    return prepare


def _ended(make: Callable[..., Native]) -> Prepare:
    """What prepares a kernel that ends with a region; see `Step`."""

    @packed
    def prepare(
        inputs: Specs, outputs: Specs, *, params: Mapping[str, Any], region: Region, place: int
    ) -> Prepared | None:
        x, w, *others = inputs
        (y,) = outputs
        if _declined(inputs[:2], outputs) or y.dtype != x.dtype:
            return None
        ending = ending_of(region, place, tuple(others), y, y.shape[-1])
        if ending is None:
            return None
        operands = tuple([3 + i - (i > place) for i in ending.others])
        return make(x, w, y, Ended(1 + len(inputs), ending, operands), **params)

    return prepare


@packed
def _filter_gradient(
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
    m, channels = _tile(window, strides, dilation, groups, x, g), x.shape[-1]
    if m and pays(winograd_filter.cost(m, g.shape, channels), 9 * channels * g.size):
        low = tuple([pair[0] for pair in padding])
        return winograd_filter.filter_gradient(m, low, _spread(x.shape), _spread(g.shape))
    axes = axes_of(x.shape[1:-1], g.shape[1:-1], window, strides, padding, dilation)
    apart = _apart(x.shape[-1] // groups, g.shape[-1], groups, x.dtype)
    return filter_gradient(
        _spread(x.shape), _spread(g.shape), x.dtype, three(axes), 1 if apart else groups, apart
    )


PREPARE: dict[str, Prepare] = {
    "conv": _plain(_forward),
    "conv_input_grad": _plain(_backward),
    "conv_filter_grad": _filter_gradient,
}
EPILOGUES: dict[str, Prepare] = {
    "conv": _ended(_forward),
    "conv_input_grad": _ended(_backward),
}
