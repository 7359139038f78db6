"""Rematerialisation, and the estimate of memory behind it."""

import pytest
from hypothesis import given, settings

from kbackend import ops
from kbackend.compiler.passes.alive import Alive
from kbackend.compiler.passes.remat import remat
from kbackend.core import lang
from kbackend.core.composite import Composite
from kbackend.random.noise import masked_scale

from .support import assert_equivalent, body, graphs, traced


def never(eqn):
    return False


def step(x, w):
    """A cast of w is needed at the beginning and at the end, a large value in between."""
    low = lang.cast(w, "float16")
    y = lang.dot(lang.cast(x, "float16"), low, ((1,), (0,)))
    wide = lang.exp(lang.broadcast_to(lang.reshape(y, (1, 8, 64)), (16, 8, 64)))
    y = lang.reduce_max(wide, (0,))
    return lang.dot(y, low, ((1,), (1,)))


def test_bytes_alive():
    def fn(x):
        y = lang.exp(x)
        z = lang.reshape(lang.neg(y), (4,))
        return lang.mul(lang.reduce_max(z, (0,)), lang.reduce_max(y, (0, 1)))

    found = Alive(traced(fn, (2, 2)))
    # exp; exp and neg; its view; both, and a scalar; exp and two scalars; the result is elsewhere.
    assert found.bytes == [16, 32, 32, 36, 24, 8]
    assert found.peak == 36


def test_a_cheap_value_is_computed_again_behind_the_peak():
    graph = traced(step, (8, 32), (32, 64))
    found = remat(graph, never)
    assert_equivalent(graph, found)
    assert [eqn.op.name for eqn in found.eqns].count("cast") == 3
    assert found.eqns[-2].op.name == "cast" and found.eqns[-2].inputs == (graph.inputs[1],)
    assert Alive(found).peak < 0.97 * Alive(graph).peak


def test_what_is_dear_is_kept():
    def fn(x, w):
        low = lang.exp(w)
        y = lang.dot(x, low, ((1,), (0,)))
        wide = lang.exp(lang.broadcast_to(lang.reshape(y, (1, 8, 64)), (16, 8, 64)))
        return lang.dot(lang.reduce_max(wide, (0,)), low, ((1,), (1,)))

    graph = traced(fn, (8, 32), (32, 64))
    assert remat(graph, never) is graph


def test_a_value_whose_arguments_are_gone_is_kept():
    def fn(x, w):
        low = lang.neg(lang.exp(w))
        y = lang.dot(x, low, ((1,), (0,)))
        wide = lang.exp(lang.broadcast_to(lang.reshape(y, (1, 8, 64)), (16, 8, 64)))
        return lang.dot(lang.reduce_max(wide, (0,)), low, ((1,), (1,)))

    graph = traced(fn, (8, 32), (32, 64))
    assert remat(graph, never) is graph


def test_small_gains_are_left():
    graph = traced(lambda x, w: step(x, w), (8, 2), (2, 64))
    assert remat(graph, never) is graph


def test_a_value_that_is_only_needed_late_is_computed_late():
    def fn(x, w):
        first = lang.neg(w)
        wide = lang.exp(lang.broadcast_to(lang.reshape(x, (1, 32)), (64, 32)))
        return lang.mul(first, lang.reduce_max(wide, (0, 1)))

    graph = traced(fn, (32,), (32, 32))
    found = remat(graph, never)
    assert body(found)[0].startswith("c = reshape")
    assert_equivalent(graph, found)


@settings(max_examples=150, deadline=None)
@given(graphs(most=24))
def test_random_graphs_keep_their_bits_and_never_need_more(graph):
    found = remat(graph, never)
    assert_equivalent(graph, found)
    assert Alive(found).peak <= Alive(graph).peak


@pytest.mark.parametrize(
    ("make", "again"),
    [
        (lambda w, keep: ops.relu(w), True),
        (lambda w, keep: masked_scale(w, keep, scale=2.0), True),
        (lambda w, keep: ops.gelu(w), False),
    ],
)
def test_composites_are_as_cheap_as_what_is_inside(make, again):
    def fn(x, w, keep):
        low = make(w, keep)
        y = lang.dot(x, low, ((1,), (0,)))
        wide = lang.exp(lang.broadcast_to(lang.reshape(y, (1, 8, 64)), (16, 8, 64)))
        return lang.dot(lang.reduce_max(wide, (0,)), low, ((1,), (1,)))

    graph = traced(fn, (8, 32), (32, 64), ((32, 64), "bool"))
    found = remat(graph, lambda eqn: True)
    assert_equivalent(graph, found)
    composites = [eqn for eqn in found.eqns if isinstance(eqn.op, Composite)]
    assert len(composites) == 1 + again
