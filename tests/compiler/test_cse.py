"""Common subexpressions."""

import numpy as np
from hypothesis import given, settings

from kbackend.compiler.passes.cse import cse, exact
from kbackend.core import lang
from kbackend.core.tensor import tensor

from .support import assert_equivalent, body, graphs, traced


def test_what_repeats_is_computed_once():
    graph = traced(lambda x, y: lang.mul(lang.add(x, y), lang.add(x, y)), (3,), (3,))
    assert body(cse(graph)) == ["c = add(a, b)", "d = mul(c, c)", "return d"]


def test_chains_that_repeat_are_found_whole():
    graph = traced(lambda x: (lang.neg(lang.exp(x)), lang.neg(lang.exp(x))), (3,))
    assert body(cse(graph)) == ["b = exp(a)", "c = neg(b)", "return c, c"]


def test_the_order_of_arguments_counts():
    graph = traced(lambda x, y: (lang.sub(x, y), lang.sub(y, x)), (3,), (3,))
    assert cse(graph) is graph


def test_parameters_count():
    graph = traced(lambda x: (lang.reduce_sum(x, (0,)), lang.reduce_sum(x, (1,))), (3, 3))
    assert cse(graph) is graph


def test_literals_are_told_by_their_bits():
    def fn(x):
        return [lang.add(x, tensor(np.float32(v))) for v in (0.0, -0.0, 1.0, 1.0)]

    assert len(cse(traced(fn, (3,))).eqns) == 3


def test_large_literals_are_told_by_identity():
    one, same = (tensor(np.arange(100, dtype="float32")) for _ in range(2))

    def fn(x):
        return [lang.add(x, one), lang.add(x, one), lang.add(x, same)]

    assert len(cse(traced(fn, (100,))).eqns) == 2


def test_random_bits_of_different_states_differ():
    def fn(a, b):
        return [lang.random_bits(state, (2,), 32) for state in (a, b, a)]

    assert len(cse(traced(fn, ((2,), "uint32"), ((2,), "uint32"))).eqns) == 2


def test_equations_with_several_results():
    def fn(x):
        (a, b), (c, d) = lang.top_k(x, 2), lang.top_k(x, 2)
        return a, b, c, d

    assert body(cse(traced(fn, (5,)))) == ["b = top_k(a) k=2", "return b, c, b, c"]


def test_keys_of_parameters():
    assert exact((1, 2)) == exact((1, 2))
    different = [1, 1.0, True, 0.0, -0.0, (1,), (1.0,), None, "1"]
    assert len({exact(value) for value in different}) == len(different)
    assert exact(float("nan")) == exact(float("nan"))


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_random_graphs_keep_their_bits(graph):
    assert_equivalent(graph, cse(graph))
