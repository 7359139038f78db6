"""Maxima and sums over windows, compiled: what NumPy's kernels give."""

import numpy as np
import pytest

from kbackend.engine.array_module.taps import positions
from kbackend.engine.program import Node, Region, Spec
from kbackend_numba import table
from tests.engines.numba import harness

CASES = {
    "2 by 2": ((3, 6, 8, 5), (2, 2), (2, 2), ((0, 0), (0, 0))),
    "2 by 2, many channels": ((2, 4, 6, 48), (2, 2), (2, 2), ((0, 0), (0, 0))),
    "2 by 2, odd size": ((2, 7, 5, 33), (2, 2), (2, 2), ((0, 0), (0, 0))),
    "2 by 2, padded": ((2, 7, 5, 17), (2, 2), (2, 2), ((0, 1), (1, 0))),
    "overlapping": ((2, 9, 8, 3), (3, 3), (2, 2), ((1, 1), (0, 1))),
    "overlapping, no padding": ((2, 9, 9, 32), (3, 3), (2, 2), ((0, 0), (0, 0))),
    "stride 1": ((2, 6, 6, 1), (3, 2), (1, 1), ((0, 0), (0, 0))),
    "gaps": ((2, 9, 10, 3), (2, 1), (3, 2), ((0, 0), (0, 0))),
    "large windows": ((2, 11, 12, 7), (5, 5), (5, 3), ((2, 1), (1, 2))),
    "windows in the padding": ((2, 3, 4, 7), (2, 2), (2, 2), ((2, 4), (0, 0))),
    "one axis": ((2, 4, 9, 3), (1, 3), (1, 2), ((0, 0), (1, 1))),
    "whole image": ((2, 4, 5, 3), (4, 5), (4, 5), ((0, 0), (0, 0))),
    "1-d": ((3, 10, 4), (3,), (2,), ((1, 1),)),
    "1-d, apart": ((3, 11, 20), (2,), (3,), ((0, 1),)),
    "3-d": ((2, 4, 5, 6, 3), (2, 2, 3), (2, 1, 3), ((0, 0), (1, 0), (0, 0))),
    "3-d, apart": ((2, 4, 5, 6, 3), (2, 2, 3), (2, 3, 3), ((0, 0), (1, 0), (0, 0))),
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
        # Sums of the elements of a window are rounded in another order. They are around 1.
        eps = np.finfo(inputs[0].dtype).eps
        tolerance = 0 if name in ("window_max", "window_pick") else 8 * eps
        harness.check(name, inputs, params, rtol=tolerance, atol=4 * tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_values(case, dtype):
    check_all(case, dtype)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0])
@pytest.mark.parametrize("case", ["2 by 2", "2 by 2, padded", "overlapping"])
def test_special_values(case, value):
    def change(x):
        x[0, 1, 1] = x[-1, 2:4, 3] = value
        return x

    check_all(CASES[case], change=change)


@pytest.mark.parametrize("case", ["2 by 2", "overlapping"])
def test_the_lowest_number_everywhere(case):
    check_all(CASES[case], change=lambda x: np.full_like(x, -np.inf))


def test_cotangents_that_are_not_finite():
    _, _, _, (name, (x, g), params), _ = problems(CASES["2 by 2"])
    g[0, 0, 0], g[1, 1, 1] = np.inf, np.nan
    harness.check(name, (x, g), params)


def test_strided_inputs():
    for name, inputs, params in problems(CASES["2 by 2"]):
        moved = tuple(np.asfortranarray(a) for a in inputs)
        harness.check(name, moved, params, atol=1e-6)


TILES = ["2 by 2", "2 by 2, many channels", "2 by 2, odd size", "1-d, tiles", "3-d, tiles"]
CASES["1-d, tiles"] = ((3, 11, 20), (2,), (2,), ((0, 0),))
CASES["3-d, tiles"] = ((2, 5, 4, 8, 3), (2, 2, 3), (2, 2, 3), ((0, 0),) * 3)


def ended(shape, dtype="float32"):
    """(gradient + row) * x, which makes something of the zeros between gradients."""
    whole, row = Spec(shape, dtype), Spec(shape[-1:], dtype)
    nodes = (Node("add", (0, 1), {}, whole), Node("mul", (3, 2), {}, whole))
    return Region((whole, row, whole), nodes, (4,), shape)


@pytest.mark.parametrize("case", TILES)
def test_a_gradient_with_an_ending(case):
    _, _, _, (name, (x, g), params), _ = problems(CASES[case])
    row = np.linspace(-1, 1, x.shape[-1], dtype="float32")
    (wanted,) = harness.reference(name, (x, g), params)
    inputs = (x, g, row, x)
    ready = table.prepare(
        "epilogue", tuple(map(harness.spec, inputs)), (harness.spec(x),),
        {"op": name, "params": params, "region": ended(x.shape), "place": 0},
    )  # fmt: skip
    out = np.full_like(x, np.nan)
    ready.run(out, *inputs)
    np.testing.assert_allclose(out, (wanted + row) * x, rtol=1e-6)
    pieces = np.full_like(x, np.nan)
    harness.item_by_item(ready, [pieces, *inputs])
    np.testing.assert_array_equal(pieces, out)


def test_endings_that_are_declined():
    for case in ("overlapping", "gaps", "2 by 2, padded"):
        _, _, _, (name, (x, g), params), _ = problems(CASES[case])
        specs = tuple(map(harness.spec, (x, g, x[0, ..., 0, :][0].copy(), x)))
        how = {"op": name, "params": params, "region": ended(x.shape), "place": 0}
        assert table.prepare("epilogue", specs, specs[:1], how) is None
