"""The order of equations."""

from hypothesis import given, settings

from kbackend.compiler.passes.fuse import fuse
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


def updates(rows, room):
    """The order of a graph with three updates, each some equations behind its gradient."""

    def fn(rate, v, w, big, x, y):
        rate = lang.sqrt(rate)
        dv = lang.exp(x)
        dw = lang.exp(lang.neg(dv))
        dbig = lang.exp(lang.dot(dw, y, ((), ())))

        def new(p, g):
            return lang.sub(p, lang.mul(g, rate))

        return lang.neg(dbig), new(v, dv), new(w, dw), new(big, dbig)

    graph = traced(fn, (), (rows,), (rows,), (rows, 4), (rows,), (4,))
    graph = fuse(graph, lambda eqn: eqn.op.name in ("mul", "sub"))
    found = schedule(graph, room)
    assert_equivalent(graph, found)
    return [eqn.op.name for eqn in found.eqns]


def test_scalars_that_can_be_known_come_first_so_that_updates_need_not_wait():
    assert updates(3, 0) == [
        "sqrt", "exp", "region", "neg", "exp", "region", "dot", "exp", "neg", "region",
    ]  # fmt: skip


def test_small_updates_wait_for_each_other():
    assert updates(3, 1000) == [
        "sqrt", "exp", "neg", "exp", "dot", "exp", "neg", "region", "region", "region",
    ]  # fmt: skip
    # The last one's gradient has more than a quarter of the room, the others' don't.
    assert updates(3, 100) == [
        "sqrt", "exp", "neg", "exp", "region", "region", "dot", "exp", "neg", "region",
    ]  # fmt: skip
    # A gradient of 12 bytes is not small beside 20.
    assert updates(3, 20) == updates(3, 0)


@settings(max_examples=100, deadline=None)
@given(graphs(most=20))
def test_random_graphs_keep_their_bits(graph):
    assert_equivalent(graph, schedule(graph))
    assert_equivalent(graph, schedule(graph, 64))
