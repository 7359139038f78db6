"""Prepared convolutions against the eager kernels.

Sums are taken in other orders and pieces than there, so results differ by rounding. Sums of n terms
of size 1 are about `sqrt(n)` large, and so are their errors in units of rounding: up to 7,000 terms
here, so that 100 units of the largest result are enough.
"""

import numpy as np
import pytest

from kbackend.engine.array_module.taps import positions
from kbackend.engine.program import Spec
from kbackend_numpy import threads
from kbackend_numpy.kernels.conv import KERNELS
from tests.engines.numpy_prepared import harness


def problem(x, w, strides, padding, dilation, groups, dtype="float32"):
    """Name, inputs and parameters of the kernels for one convolution.

    Without the gradient in an input of few channels: it is left to the eager kernel.
    """
    rng = np.random.default_rng(0)
    image, filters = (rng.standard_normal(s).astype(dtype) for s in (x, w))
    out = positions(x[1:-1], w[:-2], strides, padding, dilation)
    cotangent = rng.standard_normal((x[0], *out, w[-1])).astype(dtype)
    params = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    yield "conv", (image, filters), params
    if x[-1] >= 8:
        yield "conv_input_grad", (cotangent, filters), {**params, "space": x[1:-1]}
    yield "conv_filter_grad", (image, cotangent), {**params, "window": w[:-2]}


def check(name, inputs, params):
    (wanted,) = harness.eager(KERNELS[name], inputs, params)
    largest = np.abs(wanted, where=np.isfinite(wanted), out=np.zeros_like(wanted)).max(initial=0)
    tolerance = 100 * np.finfo(wanted.dtype).eps * max(largest, 1)
    harness.check(KERNELS[name], inputs, params, atol=tolerance)


CASES = {
    "valid": ((2, 7, 8, 20), (3, 3, 20, 12), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "same": ((3, 6, 7, 9), (3, 3, 9, 10), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "even window": ((2, 6, 5, 8), (4, 2, 8, 9), (1, 1), ((1, 2), (0, 1)), (1, 1), 1),
    "stride 2": ((2, 8, 9, 16), (3, 3, 16, 8), (2, 2), ((0, 1), (1, 1)), (1, 1), 1),
    "stride 3, window 2": ((2, 8, 10, 8), (2, 2, 8, 8), (3, 3), ((0, 0), (1, 0)), (1, 1), 1),
    "mixed strides": ((2, 9, 8, 8), (3, 2, 8, 8), (1, 3), ((1, 1), (0, 0)), (1, 1), 1),
    "dilated": ((2, 9, 9, 8), (3, 3, 8, 12), (1, 1), ((2, 2), (0, 0)), (2, 3), 1),
    "dilated, strided": ((2, 11, 12, 8), (3, 3, 8, 8), (2, 4), ((2, 1), (3, 3)), (2, 2), 1),
    "pointwise": ((3, 5, 5, 16), (1, 1, 16, 24), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "pointwise, stride 2": ((2, 7, 6, 16), (1, 1, 16, 24), (2, 2), ((0, 0), (0, 0)), (1, 1), 1),
    "pointwise, padded": ((2, 4, 4, 16), (1, 1, 16, 8), (1, 1), ((1, 0), (1, 2)), (1, 1), 1),
    "one channel": ((3, 9, 9, 1), (3, 3, 1, 8), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "three channels": ((3, 9, 8, 3), (5, 3, 3, 8), (2, 1), ((2, 2), (1, 1)), (1, 1), 1),
    "groups": ((3, 7, 7, 12), (3, 3, 4, 6), (1, 1), ((1, 1), (1, 1)), (1, 1), 3),
    "groups, stride 2": ((2, 8, 8, 8), (3, 3, 4, 8), (2, 2), ((1, 0), (0, 1)), (1, 1), 2),
    "groups, pointwise": ((2, 5, 5, 8), (1, 1, 4, 6), (1, 1), ((0, 0), (0, 0)), (1, 1), 2),
    "depthwise": ((3, 7, 8, 9), (3, 3, 1, 9), (1, 1), ((1, 1), (0, 2)), (1, 1), 9),
    "depthwise, stride 2": ((2, 9, 8, 8), (3, 2, 1, 8), (2, 2), ((1, 1), (0, 0)), (1, 1), 8),
    "depthwise, several filters": ((2, 6, 7, 8), (2, 3, 1, 24), (1, 1), ((0, 0),) * 2, (2, 1), 8),
    "depthwise, many filters": ((2, 6, 7, 8), (2, 3, 1, 72), (1, 1), ((1, 0),) * 2, (1, 1), 8),
    "depthwise, 1-d": ((2, 20, 8), (3, 1, 8), (1,), ((1, 1),), (1,), 8),
    "much padding": ((2, 3, 3, 8), (3, 3, 8, 8), (1, 1), ((4, 5), (3, 0)), (1, 1), 1),
    "1-d": ((3, 20, 12), (5, 12, 16), (2,), ((2, 2),), (1,), 1),
    "1-d, causal": ((2, 20, 10), (3, 10, 16), (1,), ((4, 0),), (2,), 1),
    "3-d": ((2, 5, 6, 5, 8), (3, 2, 3, 8, 8), (1, 2, 1), ((1, 1), (0, 0), (1, 1)), (1, 1, 1), 1),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values(case, dtype):
    for name, inputs, params in problem(*case, dtype):
        check(name, inputs, params)


SPLIT = {
    "blocks of images": ((9, 16, 16, 32), (3, 3, 32, 32), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "blocks of rows": ((2, 60, 61, 32), (3, 3, 32, 16), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "rows, stride 2": ((1, 90, 80, 32), (3, 3, 32, 32), (2, 2), ((0, 1), (1, 1)), (1, 1), 1),
    "rows of few channels": ((2, 150, 70, 3), (7, 7, 3, 16), (2, 2), ((3, 3), (3, 3)), (1, 1), 1),
    "rows shifted": ((5, 20, 22, 32), (3, 3, 32, 24), (1, 2), ((2, 0), (1, 1)), (2, 1), 1),
    "few filters": ((8, 32, 32, 16), (3, 3, 16, 8), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "pointwise": ((8, 32, 33, 64), (1, 1, 64, 64), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "pointwise, stride 2": ((9, 40, 40, 64), (1, 1, 64, 64), (2, 2), ((0, 0), (0, 0)), (1, 1), 1),
    "groups": ((5, 30, 30, 32), (3, 3, 16, 32), (1, 1), ((1, 1), (1, 1)), (1, 1), 2),
    "depthwise": ((9, 30, 31, 32), (3, 3, 1, 32), (1, 1), ((1, 1),) * 2, (1, 1), 32),
    "depthwise, 2 filters": ((9, 30, 31, 16), (3, 3, 1, 32), (2, 2), ((1, 1),) * 2, (1, 1), 16),
    "3-d": ((2, 20, 12, 12, 16), (3, 3, 3, 16, 16), (1,) * 3, ((1, 1),) * 3, (1,) * 3, 1),
}


@pytest.mark.parametrize("case", SPLIT.values(), ids=SPLIT)
def test_many_blocks_on_several_threads(case):
    with threads.owned():
        for name, inputs, params in problem(*case):
            check(name, inputs, params)


@pytest.mark.parametrize("which", [0, 1])
def test_strided_inputs(which):
    for name, inputs, params in problem(*CASES["same"]):
        inputs = list(inputs)
        wide = np.repeat(inputs[which], 2, axis=-1)
        inputs[which] = wide[..., ::2]
        assert not inputs[which].flags.c_contiguous
        check(name, inputs, params)


@pytest.mark.parametrize("shape", [(0, 5, 5, 4), (2, 5, 5, 0)])
def test_no_elements(shape):
    case = (shape, (3, 3, shape[-1], 6), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    for name, inputs, params in problem(*case):
        check(name, inputs, params)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_where_it_is(value):
    for name, inputs, params in problem(*CASES["stride 2"]):
        if name == "conv_input_grad":
            continue
        inputs[0][0, 3, 3, 2] = value
        check(name, inputs, params)
    g, w = np.zeros((1, 4, 4, 8), "float32"), np.ones((3, 3, 8, 8), "float32")
    g[0, 1, 1, 0] = value
    params = {"strides": (2, 2), "padding": ((0, 1), (0, 1)), "dilation": (1, 1), "groups": 1}
    (dx,) = harness.run(KERNELS["conv_input_grad"], (g, w), {**params, "space": (8, 8)})
    assert not np.isfinite(dx[0, 2:5, 2:5]).any()
    dx[0, 2:5, 2:5] = 0
    assert not dx.any()


def test_results_do_not_depend_on_which_thread_is_faster():
    *_, (name, inputs, params) = problem(*SPLIT["blocks of images"])
    with threads.owned():
        first, second = (harness.run(KERNELS[name], inputs, params)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_other_dtypes_are_declined():
    spec = Spec((1, 4, 4, 2), "bfloat16")
    params = {"strides": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
    given = (spec, Spec((2, 2, 2, 2), "bfloat16"))
    assert KERNELS["conv"].prepare(given, (Spec((1, 3, 3, 2), "bfloat16"),), **params) is None


@pytest.mark.parametrize("case", ["blocks of images", "rows, stride 2", "rows of few channels"])
def test_nothing_is_allocated(case):
    # Nothing but the headers of views: a block has several hundred thousand bytes.
    for name, inputs, params in problem(*SPLIT[case]):
        assert harness.allocated(KERNELS[name], inputs, params) < 4096
