"""Bias into the product."""

import pytest

from kbackend.compiler.passes.bias import bias
from kbackend.compiler.pipeline import optimize, passes
from kbackend.core import lang
from kbackend.engine.interface import Kernel
from kbackend_numpy.engine import NumpyEngine

from .support import assert_equivalent, body, traced


class Biased(NumpyEngine):
    """An engine whose products add a bias."""

    def __init__(self):
        super().__init__()

        def dot_bias(x, y, b, contract, batch):
            return self.kernels["dot"](x, y, contract=contract, batch=batch) + b

        self.composites["dot_bias"] = Kernel(dot_bias, frozenset(("float32",)))


def layer(x, w, b):
    return lang.add(lang.dot(x, w, ((1,), (0,))), b)


def test_an_engine_with_a_kernel_gets_it():
    graph = traced(layer, (2, 3), (3, 4), (4,))
    found = bias(graph, Biased())
    assert body(found) == ["d = dot_bias(a, b, c) contract=((1,), (0,)) batch=((), ())", "return d"]
    assert_equivalent(graph, found)
    assert [eqn.op.name for eqn in optimize(graph, Biased()).eqns] == ["dot_bias"]


def test_an_engine_without_one_does_not():
    graph = traced(layer, (2, 3), (3, 4), (4,))
    assert bias(graph, NumpyEngine()) is graph
    assert "bias" in [one.name for one in passes(NumpyEngine())]


def test_a_bias_of_several_dimensions_on_either_side():
    def fn(x, w, b):
        return lang.add(b, lang.dot(x, w, ((1,), (0,))))

    graph = traced(fn, (2, 3), (3, 4, 5), (4, 5))
    found = bias(graph, Biased())
    assert len(found.eqns) == 1
    assert_equivalent(graph, found)


@pytest.mark.parametrize(
    ("fn", "shapes"),
    [
        (layer, [(2, 3), (3, 4), (2, 4)]),  # not a bias
        (layer, [(2, 3), (3, 4), (2, 1)]),  # one per row
        (layer, [(2, 3), (3, 4), ()]),
        (
            lambda x, w, b: (layer(x, w, b), lang.neg(lang.dot(x, w, ((1,), (0,))))),
            [(2, 3), (3, 4), (4,)],
        ),  # noqa: E501
    ],
)
def test_other_additions_stay(fn, shapes):
    graph = traced(fn, *shapes)
    found = bias(graph, Biased())
    assert_equivalent(graph, found)
    if fn is layer:
        assert "dot_bias" not in [eqn.op.name for eqn in found.eqns]


def test_a_product_that_is_needed_by_itself_stays():
    def fn(x, w, b):
        y = lang.dot(x, w, ((1,), (0,)))
        return y, lang.add(y, b)

    graph = traced(fn, (2, 3), (3, 4), (4,))
    assert bias(graph, Biased()).eqns == graph.eqns


def test_other_dtypes_stay():
    graph = traced(layer, (2, 3), (3, 4), (4,), dtype="float64")
    assert bias(graph, Biased()) is graph
