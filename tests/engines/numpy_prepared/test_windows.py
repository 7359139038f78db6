"""Prepared maxima and sums over windows: bit for bit what the eager kernels give."""

import numpy as np
import pytest

from kbackend.engine.array_module.taps import positions
from kbackend.engine.program import Spec
from kbackend_numpy import threads
from kbackend_numpy.kernels.window import KERNELS
from tests.engines.numpy_prepared import harness

CASES = {
    "2 by 2": ((3, 6, 8, 5), (2, 2), (2, 2), ((0, 0), (0, 0))),
    "2 by 2, odd size": ((2, 7, 5, 4), (2, 2), (2, 2), ((0, 0), (0, 0))),
    "2 by 2, padded": ((2, 7, 5, 4), (2, 2), (2, 2), ((0, 1), (1, 0))),
    "overlapping": ((2, 9, 8, 3), (3, 3), (2, 2), ((1, 1), (0, 1))),
    "stride 1": ((2, 6, 6, 3), (3, 2), (1, 1), ((0, 0), (0, 0))),
    "gaps": ((2, 9, 9, 3), (2, 1), (3, 2), ((0, 0), (0, 0))),
    "one axis": ((2, 4, 9, 3), (1, 3), (1, 2), ((0, 0), (1, 1))),
    "whole image": ((2, 4, 5, 3), (4, 5), (4, 5), ((0, 0), (0, 0))),
    "1-d": ((3, 10, 4), (3,), (2,), ((1, 1),)),
    "3-d": ((2, 4, 5, 6, 3), (2, 2, 3), (2, 1, 3), ((0, 0), (1, 0), (0, 0))),
    "many images": ((40, 26, 26, 32), (2, 2), (2, 2), ((0, 0), (0, 0))),
    "many images, overlapping": ((40, 23, 24, 16), (3, 3), (2, 2), ((0, 1), (1, 1))),
}


def problems(case, dtype="float32", change=lambda x: x):
    """Name, inputs and parameters of all kernels; half of the elements tie with others."""
    shape, window, strides, padding = case
    rng = np.random.default_rng(0)
    out = positions(shape[1:-1], window, strides, padding, (1,) * len(window))
    x = change(np.maximum(rng.standard_normal(shape), 0).astype(dtype))
    t = rng.standard_normal(shape).astype(dtype)
    g = rng.standard_normal((shape[0], *out, shape[-1])).astype(dtype)
    params = {"window": window, "strides": strides, "padding": padding}
    yield "window_max", (x,), params
    yield "window_sum", (x,), params
    yield "window_pick", (x, t), params
    yield "window_unpick", (x, g), params
    yield "window_spread", (g,), {**params, "space": shape[1:-1]}


def check_all(*args, **kwargs):
    for name, inputs, params in problems(*args, **kwargs):
        harness.check(KERNELS[name], inputs, params)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_values(case, dtype):
    with threads.owned():
        check_all(case, dtype)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0])
@pytest.mark.parametrize("case", ["2 by 2", "2 by 2, padded", "overlapping"])
def test_special_values(case, value):
    def change(x):
        x[0, 1, 1] = x[-1, 2:4, 3] = value
        return x

    check_all(CASES[case], change=change)


def test_cotangents_that_are_not_finite():
    _, _, _, (name, (x, g), params), _ = problems(CASES["2 by 2"])
    g[0, 0, 0], g[1, 1, 1] = np.inf, np.nan
    harness.check(KERNELS[name], (x, g), params)


def test_strided_inputs():
    for name, inputs, params in problems(CASES["overlapping"]):
        harness.check(KERNELS[name], tuple(a[:, ::-1] for a in inputs), params)


def test_no_images():
    check_all(((0, 6, 6, 2), *CASES["2 by 2"][1:]))


def test_other_dtypes_are_declined():
    params = {"window": (2,), "strides": (2,), "padding": ((0, 0),)}
    out = (Spec((1, 2, 1), "int32"),)
    assert KERNELS["window_max"].prepare((Spec((1, 4, 1), "int32"),), out, **params) is None


def test_nothing_is_allocated():
    # Nothing but headers of views and a ufunc's buffer: a block has several hundred thousand bytes.
    for name, inputs, params in problems(CASES["many images"]):
        assert harness.allocated(KERNELS[name], inputs, params) < 40_000
