"""First and second derivatives of contraction, convolution and windows by finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from kbackend.core import lang

HOW = {"strides": (2, 1), "padding": ((1, 0), (1, 1)), "dilation": (1, 2), "groups": 2}
WINDOW = {"window": (3, 2), "strides": (2, 1), "padding": ((1, 1), (0, 1))}


def draw(*shape, seed=0):
    return np.random.default_rng(seed + sum(shape)).normal(size=shape)


X, W = draw(2, 5, 6, 4), draw(3, 2, 2, 6)
G = draw(2, 2, 6, 6)
T, H = draw(2, 5, 6, 4, seed=1), draw(2, 3, 6, 4)
A, B = draw(2, 3, 4, 5), draw(4, 2, 5, 6)

# name -> (function of tensors, arguments)
CASES = {
    "dot": (lambda a, b: lang.dot(a, b, contract=((3, 2), (2, 0)), batch=((0,), (1,))), (A, B)),
    "conv": (lambda x, w: lang.conv(x, w, **HOW), (X, W)),
    "conv_input_grad": (lambda g, w: lang.conv_input_grad(g, w, space=(5, 6), **HOW), (G, W)),
    "conv_filter_grad": (lambda x, g: lang.conv_filter_grad(x, g, window=(3, 2), **HOW), (X, G)),
    "window_max": (lambda x: lang.window_max(x, **WINDOW), (X,)),
    "window_pick": (lambda x, t: lang.window_pick(x, t, **WINDOW), (X, T)),
    "window_unpick": (lambda x, g: lang.window_unpick(x, g, **WINDOW), (X, H)),
    "window_sum": (lambda x: lang.window_sum(x, **WINDOW), (X,)),
    "window_spread": (lambda g: lang.window_spread(g, space=(5, 6), **WINDOW), (H,)),
}


@pytest.mark.parametrize("case", CASES)
def test_derivatives(case, check_grads):
    fn, args = CASES[case]
    # Squared, so that the second derivative is not zero.
    check_grads(lambda *tensors: lang.mul(fn(*tensors), fn(*tensors)), *args)
