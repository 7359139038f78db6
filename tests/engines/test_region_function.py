"""Regions with reductions, run by any engine that has a table: one kernel after the other."""

import numpy as np
import pytest

from kbackend.engine.interpreter import region_function
from kbackend.engine.loader import get_engine
from kbackend.engine.program import REDUCTIONS, Node, Region, Spec

X, ROW = Spec((2, 3), "float32"), Spec((2, 1), "float32")


def keeping(axes, keepdims=True):
    return {"axes": axes, "keepdims": keepdims}


def run(region, *arrays):
    return region_function(get_engine("numpy"), region)(*arrays)


def test_softmax_by_rows(rng):
    nodes = (
        Node("reduce_max", (0,), keeping((1,)), ROW),
        Node("sub", (0, 1), {}, X),
        Node("exp", (2,), {}, X),
        Node("reduce_sum", (3,), keeping((1,)), ROW),
        Node("div", (3, 4), {}, X),
        Node("log", (4,), {}, ROW),
    )
    region = Region((X,), nodes, (5, 6), (2, 3), axes=(1,))
    assert region.by_rows and region.kept == (2, 1)
    x = rng.standard_normal((2, 3), "float32")
    softmax, logs = run(region, x)
    powers = np.exp(x - x.max(1, keepdims=True))
    np.testing.assert_array_equal(softmax, powers / powers.sum(1, keepdims=True))
    np.testing.assert_array_equal(logs, np.log(powers.sum(1, keepdims=True)))


@pytest.mark.parametrize("axes", [(0,), (0, 1)])
@pytest.mark.parametrize("keepdims", [True, False])
def test_reductions_as_outputs(axes, keepdims, rng):
    x = rng.standard_normal((2, 3), "float32")
    params, out = keeping(axes, keepdims), Spec(x.sum(axes, keepdims=keepdims).shape, "float32")
    nodes = (
        Node("mul", (0, 0), {}, X),
        Node("reduce_sum", (1,), params, out),
        Node("reduce_sum", (0,), params, out),
    )
    region = Region((X,), nodes, (2, 3, 1), (2, 3), axes=axes)
    assert not region.by_rows
    squares, sums, whole = run(region, x)
    np.testing.assert_array_equal(squares, (x * x).sum(axes, keepdims=keepdims))
    np.testing.assert_array_equal(sums, x.sum(axes, keepdims=keepdims))
    np.testing.assert_array_equal(whole, x * x)


def test_the_nodes_that_reduce():
    assert all(Node(name, (0,), keeping((1,)), ROW).reduces for name in REDUCTIONS)
    assert not Node("exp", (0,), {}, X).reduces


def test_rows_are_what_is_last():
    assert Region((X,), (), (), (2, 3, 4), axes=(1, 2)).by_rows
    for axes in ((), (0,), (1,), (0, 2), (0, 1, 2)):
        assert not Region((X,), (), (), (2, 3, 4), axes=axes).by_rows
