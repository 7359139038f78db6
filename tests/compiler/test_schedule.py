"""The order of equations."""

from hypothesis import given, settings

from kbackend.compiler.passes.schedule import schedule
from kbackend.core import lang

from .support import assert_equivalent, body, graphs, traced


def test_what_leaves_the_graph_runs_early():
    def fn(v, w, x):
        dv = lang.exp(x)
        dw = lang.exp(dv)
        return lang.reduce_max(dw, (0,)), lang.sub(v, dv), lang.sub(w, dw)

    graph = traced(fn, (3,), (3,), (3,))
    found = schedule(graph)
    assert_equivalent(graph, found)
    assert [line.split(" = ")[1].split("(")[0] for line in body(found)[:-1]] == [
        "exp", "sub", "exp", "reduce_max", "sub",
    ]  # fmt: skip


def test_a_variable_is_updated_after_all_who_read_it():
    def fn(v, x):
        d = lang.exp(x)
        new = lang.sub(v, d)
        return lang.dot(lang.neg(d), v, ((0,), (0,))), new

    graph = traced(fn, (3,), (3,))
    assert [eqn.op.name for eqn in schedule(graph).eqns] == ["exp", "neg", "dot", "sub"]


def test_what_depends_on_inputs_only_stays():
    graph = traced(lambda x, y: (lang.exp(x), lang.neg(y)), (3,), (3,))
    assert schedule(graph) is graph


@settings(max_examples=100, deadline=None)
@given(graphs(most=20))
def test_random_graphs_keep_their_bits(graph):
    assert_equivalent(graph, schedule(graph))
