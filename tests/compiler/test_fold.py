"""Constant folding."""

import numpy as np
import pytest
from hypothesis import given, settings

from kbackend.base.dtypes import numpy_dtype
from kbackend.compiler.passes.dce import dce
from kbackend.compiler.passes.fold import fold
from kbackend.core import lang
from kbackend.core.tensor import tensor
from kbackend.ir.eval import evaluate
from kbackend.ir.graph import Lit

from .support import Builder, assert_equivalent, body, graphs, traced


def test_what_depends_on_literals_only_is_computed():
    make = Builder(((3,), "float32"))
    nothing = make(lang.full_p, shape=(), value=0, dtype="float32")
    two = make(lang.mul_p, make(lang.exp_p, nothing), tensor(2.0))
    graph = make.graph(make(lang.add_p, make.inputs[0], two))
    assert body(fold(graph)) == ["b = add(a, 2.)", "return b"]


def test_a_known_output_is_a_literal():
    make = Builder()
    graph = fold(make.graph(make(lang.full_p, shape=(), value=3, dtype="int32")))
    assert not graph.eqns and isinstance(graph.outputs[0], Lit)


@pytest.mark.parametrize(("n", "left"), [(4, 1), (100_000, 2)])
def test_small_arrays_are_computed_and_large_ones_are_not(n, left):
    make = Builder(((n,), "float32"))
    positions = make(lang.iota_p, shape=(n,), axis=0, dtype="float32")
    graph = make.graph(make(lang.add_p, make.inputs[0], positions))
    assert len(fold(graph).eqns) == left


def test_full_becomes_a_scalar_where_the_other_operand_has_the_shape():
    graph = traced(lambda x: lang.mul(x, lang.full((2, 3), 0.5, "float32")), (2, 3))
    assert body(dce(fold(graph))) == ["b = mul(a, 0.5)", "return b"]


def test_full_stays_where_it_gives_the_shape():
    graph = traced(lambda x: lang.mul(x, lang.full((2, 3), 0.5, "float32")), (3,))
    assert [eqn.op.name for eqn in dce(fold(graph)).eqns] == ["full", "mul"]


def test_one_of_two_fulls_stays():
    make = Builder()
    both = [make(lang.full_p, shape=(2, 3), value=v, dtype="float32") for v in (1, 2)]
    graph = make.graph(make(lang.add_p, *both))
    assert [eqn.op.name for eqn in dce(fold(graph)).eqns] == ["full", "add"]
    assert_equivalent(graph, fold(graph))


def test_elementwise_equations_broadcast_by_themselves():
    graph = traced(lambda x, y: lang.sub(lang.broadcast_to(x, (2, 3)), y), (3,), (2, 3))
    assert body(dce(fold(graph))) == ["c = sub(a, b)", "return c"]


def test_random_bits_are_never_folded():
    make = Builder()
    state = tensor(np.array([1, 2], "uint32"))
    graph = make.graph(make(lang.random_bits_p, state, shape=(2,), width=32))
    assert fold(graph).eqns == graph.eqns


def test_what_fails_is_left_to_fail_when_it_runs():
    make = Builder()
    graph = make.graph(make(lang.cholesky_p, tensor(np.array([[-1.0]], "float32"))))
    with pytest.raises(Exception, match="definite"):
        evaluate(fold(graph), [])


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_random_graphs_keep_their_bits(graph):
    assert_equivalent(graph, fold(graph))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8", "bool"])
def test_constants_of_equal_elements_take_no_memory(dtype):
    graph = traced(lambda x: (lang.zeros((40, 50), dtype), x), (2,))
    assert [eqn.op.name for eqn in graph.eqns] == ["full"]
    # They are no fillings if only the bits tell their elements apart.
    mixed = np.zeros((4,), "float32")
    mixed[1] = -0.0
    for kind in ("float32", "bfloat16"):
        constant = tensor(mixed.astype(numpy_dtype(kind)))
        assert not traced(lambda x, c=constant: (c, x), (2,)).eqns
