"""Compiled convolutions against NumPy's."""

import numpy as np
import pytest

from tests.engines.numba.harness import check

# Both add up the same products in different orders: some roundings of sums of unit size.
_RTOL, _ATOL = 2e-5, 2e-5

# Spatial shape, channels, filters, window, strides, padding, dilation, groups.
CASES = {
    "plain": ((9, 11), 5, 7, (3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "same": ((8, 8), 16, 32, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "first layer": ((12, 13), 1, 32, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "colours": ((12, 13), 3, 33, (5, 3), (1, 1), ((2, 2), (1, 1)), (1, 1), 1),
    "short": ((9, 10), 32, 48, (3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "short, padded": ((5, 14), 80, 16, (3, 3), (1, 1), ((2, 1), (0, 3)), (1, 1), 1),
    "short, left over": ((13, 9), 32, 64, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "odd channels": ((7, 6), 17, 33, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "three vectors": ((7, 6), 8, 48, (3, 2), (1, 1), ((1, 1), (0, 1)), (1, 1), 1),
    "five vectors": ((4, 5), 6, 80, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "strides": ((9, 10), 4, 6, (3, 3), (2, 3), ((1, 1), (0, 1)), (1, 1), 1),
    "stride over window": ((9, 10), 4, 6, (1, 2), (3, 3), ((0, 0), (0, 0)), (1, 1), 1),
    "dilation": ((11, 12), 4, 6, (3, 2), (1, 1), ((2, 2), (1, 0)), (2, 3), 1),
    "stride and dilation": ((11, 12), 4, 6, (3, 2), (2, 2), ((2, 2), (1, 0)), (3, 2), 1),
    "much padding": ((3, 4), 4, 6, (3, 3), (1, 1), ((4, 3), (5, 2)), (1, 1), 1),
    "groups": ((6, 7), 12, 8, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 4),
    "groups of two": ((6, 7), 20, 20, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 10),
    "groups of four": ((6, 9), 64, 64, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 16),
    "groups of four, strided": ((9, 11), 36, 36, (5, 3), (2, 3), ((2, 1), (1, 1)), (1, 2), 9),
    "groups of eight": ((5, 6), 24, 24, (2, 4), (1, 1), ((0, 0), (1, 2)), (1, 1), 3),
    "groups of eight, 1-D": ((19,), 64, 64, (5,), (2,), ((4, 0),), (1,), 8),
    "wide groups": ((6, 7), 34, 66, (3, 3), (2, 1), ((1, 1), (1, 1)), (1, 1), 2),
    "depthwise": ((6, 7), 20, 20, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 20),
    "depthwise, strided": ((6, 9), 32, 32, (3, 5), (2, 2), ((1, 1), (1, 3)), (1, 1), 32),
    "depthwise, borders apart": ((41, 52), 32, 32, (3, 3), (2, 2), ((0, 1), (1, 1)), (1, 1), 32),
    "depthwise, one border": ((30, 47), 20, 20, (2, 3), (1, 3), ((0, 0), (2, 2)), (1, 2), 20),
    "groups, borders apart": ((40, 40), 36, 36, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 9),
    "depthwise, wide": ((6, 7), 70, 70, (3, 3), (1, 1), ((2, 1), (1, 1)), (2, 1), 70),
    "depthwise, two each": ((6, 7), 5, 10, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 5),
    "1-D": ((37,), 6, 9, (5,), (1,), ((2, 2),), (1,), 1),
    "1-D causal": ((37,), 6, 9, (2,), (1,), ((8, 0),), (8,), 1),
    "3-D": ((4, 5, 6), 3, 18, (2, 3, 2), (1, 2, 1), ((1, 0), (1, 1), (0, 1)), (1, 1, 2), 1),
    "whole image": ((4, 4), 8, 10, (4, 4), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "one pixel": ((1, 1), 8, 10, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
}


def positions(space, window, strides, padding, dilation):
    """Positions of the window in each dimension."""
    return tuple(
        (n + p[0] + p[1] - (k - 1) * d - 1) // s + 1
        for n, k, s, p, d in zip(space, window, strides, padding, dilation, strict=True)
    )


def arrays(case, batch, dtype="float32"):
    """x, w, g and the parameters that all three convolutions share."""
    space, channels, filters, window, strides, padding, dilation, groups = case
    rng = np.random.default_rng(7)
    out = positions(space, window, strides, padding, dilation)
    x = rng.standard_normal((batch, *space, channels)).astype(dtype)
    w = rng.standard_normal((*window, channels // groups, filters)).astype(dtype)
    w /= np.sqrt(np.prod(w.shape[:-1])).astype(dtype)
    g = rng.standard_normal((batch, *out, filters)).astype(dtype)
    how = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    return x, w, g, how


def calls(case, batch, dtype="float32"):
    """Name, inputs and parameters of the three convolutions."""
    x, w, g, how = arrays(case, batch, dtype)
    yield "conv", [x, w], how
    yield "conv_input_grad", [g, w], {**how, "space": case[0]}
    g = g / np.sqrt(g[..., 0].size).astype(dtype)
    yield "conv_filter_grad", [x, g], {**how, "window": case[3]}


@pytest.mark.parametrize("batch", [1, 3, 34])
@pytest.mark.parametrize("name", CASES)
def test_all_shapes(name, batch):
    for primitive, inputs, params in calls(CASES[name], batch):
        check(primitive, inputs, params, rtol=_RTOL, atol=_ATOL)


def test_image_larger_than_a_block():
    case = ((70, 60), 24, 5, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    for primitive, inputs, params in calls(case, 2):
        check(primitive, inputs, params, rtol=_RTOL, atol=_ATOL)


@pytest.mark.parametrize("name", ["odd channels", "groups of two", "groups of four, strided"])
def test_float64(name):
    for primitive, inputs, params in calls(CASES[name], 2, "float64"):
        check(primitive, inputs, params, rtol=1e-12, atol=1e-12)


def test_strided_inputs():
    for primitive, (a, b), params in calls(CASES["same"], 2):
        double = np.repeat(a, 2, axis=2)[:, :, ::2]
        check(primitive, [double, b], params, rtol=_RTOL, atol=_ATOL)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_a_number(value):
    for primitive, inputs, params in calls(CASES["same"], 2):
        for i in range(2):
            spoilt = [a.copy() for a in inputs]
            spoilt[i].flat[5] = value
            check(primitive, spoilt, params, rtol=_RTOL, atol=_ATOL)
