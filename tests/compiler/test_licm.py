"""Loop-invariant motion."""

import numpy as np
import pytest

from kbackend.compiler.passes.dce import dce
from kbackend.compiler.passes.licm import licm
from kbackend.core import lang
from kbackend.core.tensor import tensor
from kbackend.ir.control import SCAN, WHILE
from kbackend.ir.graph import Graph

from .support import Builder, assert_equivalent, body


def scan_of(step, constants, carries, xs, length=3, reverse=False):
    """A graph with a scan; `step(make, constants, carries, rows)` returns carries and ys."""
    inner = Builder(*constants, *carries, *[(shape[1:], dtype) for shape, dtype in xs])
    n, m = len(constants), len(constants) + len(carries)
    after, ys = step(inner, inner.inputs[:n], inner.inputs[n:m], inner.inputs[m:])
    graph = inner.graph(*after, *ys)
    graph = Graph(graph.inputs, graph.eqns, graph.outputs, "body")
    make = Builder(*constants, *carries, *xs)
    outs = make(
        SCAN, *make.inputs, body=graph, constants=n, carries=m - n, length=length, reverse=reverse
    )
    return make.graph(*(outs if isinstance(outs, tuple) else (outs,)))


VECTOR = ((2,), "float32")
ROWS = ((3, 2), "float32")


@pytest.mark.parametrize("reverse", [False, True])
def test_what_depends_on_constants_moves_out(reverse):
    def step(make, constants, carries, rows):
        still = make(lang.mul_p, make(lang.neg_p, constants[0]), tensor(np.float32(2)))
        moving = make(lang.add_p, make(lang.add_p, carries[0], still), rows[0])
        return [moving], [make(lang.mul_p, moving, still)]

    graph = scan_of(step, [VECTOR], [VECTOR], [ROWS], reverse=reverse)
    found = licm(graph)
    assert_equivalent(graph, found)
    assert [eqn.op.name for eqn in found.eqns] == ["neg", "mul", "scan"]
    assert found.eqns[-1].params["constants"] == 2
    assert body(found)[1] == "e = mul(d, 2.)"
    assert licm(found) is found


def test_nothing_moves_out_of_a_loop_without_constants():
    def step(make, constants, carries, rows):
        return [make(lang.neg_p, carries[0])], []

    graph = scan_of(step, [], [VECTOR], [])
    assert licm(graph) is graph


def test_movements_stay_unless_what_moves_needs_them():
    def step(make, constants, carries, rows):
        turned = make(lang.rev_p, constants[0], axes=(0,))
        return [make(lang.add_p, carries[0], turned)], []

    graph = scan_of(step, [VECTOR], [VECTOR], [])
    assert licm(graph) is graph

    def needed(make, constants, carries, rows):
        turned = make(lang.rev_p, constants[0], axes=(0,))
        carry = make(lang.add_p, carries[0], make(lang.neg_p, turned))
        return [make(lang.add_p, carry, turned)], []

    graph = scan_of(needed, [VECTOR], [VECTOR], [])
    found = licm(graph)
    assert_equivalent(graph, found)
    assert [eqn.op.name for eqn in found.eqns] == ["rev", "neg", "scan"]
    inside = found.eqns[-1].params["body"]
    assert [eqn.op.name for eqn in inside.eqns] == ["rev", "add", "add"]


def test_a_result_that_does_not_change_is_handed_in():
    def step(make, constants, carries, rows):
        return [make(lang.neg_p, carries[0])], [make(lang.neg_p, constants[0])]

    graph = scan_of(step, [VECTOR], [VECTOR], [])
    found = licm(graph)
    assert_equivalent(graph, found)
    assert len(found.eqns[-1].params["body"].eqns) == 1


def test_a_carry_that_does_not_change_is_a_constant():
    def step(make, constants, carries, rows):
        still, moving = carries
        return [still, make(lang.add_p, moving, make(lang.neg_p, still))], [rows[0]]

    graph = scan_of(step, [], [VECTOR, VECTOR], [ROWS])
    found = licm(graph)
    assert_equivalent(graph, found)
    scan = found.eqns[-1]
    assert (scan.params["constants"], scan.params["carries"]) == (2, 1)
    assert found.outputs[0] is graph.inputs[0]
    assert_equivalent(graph, dce(found))


def test_loops_within_loops():
    def inner_step(make, constants, carries, rows):
        return [make(lang.add_p, carries[0], make(lang.neg_p, constants[0]))], []

    inner = scan_of(inner_step, [VECTOR], [VECTOR], []).eqns[0]

    def step(make, constants, carries, rows):
        return [make(SCAN, constants[0], carries[0], **inner.params)], []

    graph = scan_of(step, [VECTOR], [VECTOR], [])
    found = licm(graph)
    assert_equivalent(graph, found)
    assert [eqn.op.name for eqn in found.eqns] == ["neg", "scan"]


def while_graph(limit):
    condition = Builder(VECTOR, VECTOR)
    bound, carry = condition.inputs
    total = condition(lang.reduce_sum_p, carry, axes=(0,), keepdims=False)
    bound = condition(lang.abs_p, bound)
    bound = condition(lang.reduce_sum_p, bound, axes=(0,), keepdims=False)
    condition = condition.graph(condition(lang.lt_p, total, bound))
    inner = Builder(VECTOR, VECTOR)
    step, carry = inner.inputs
    inner = inner.graph(inner(lang.add_p, carry, inner(lang.abs_p, step)))
    make = Builder(VECTOR, VECTOR, VECTOR)
    out = make(WHILE, *make.inputs, condition=condition, body=inner, constants=(1, 1), limit=limit)
    return make.graph(out)


@pytest.mark.parametrize("limit", [None, 0, 5])
def test_while_loops(limit):
    graph = while_graph(limit)
    found = licm(graph)
    assert [eqn.op.name for eqn in found.eqns] == ["abs", "reduce_sum", "abs", "while"]
    assert found.eqns[-1].params["constants"] == (2, 2)
    for seed in range(4 if limit is not None else 0):
        # Without a limit, a step of zero would go on for ever.
        assert_equivalent(graph, found, seed)


def test_what_may_fail_stays_in_a_loop_that_may_not_run():
    square = ((2, 2), "float32")
    condition = Builder(square)
    false = condition(lang.full_p, shape=(), value=False, dtype="bool")
    condition = condition.graph(false)
    inner = Builder(square, square)
    constant, carry = inner.inputs
    inner = inner.graph(inner(lang.add_p, carry, inner(lang.cholesky_p, constant)))
    make = Builder(square, square)
    out = make(WHILE, *make.inputs, condition=condition, body=inner, constants=(0, 1), limit=None)
    graph = make.graph(out)
    assert licm(graph) is graph
