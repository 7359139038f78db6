"""The exact algebraic rules."""

import numpy as np
import pytest
from hypothesis import given, settings

from kbackend.compiler.passes.algebra import algebra
from kbackend.compiler.passes.dce import dce
from kbackend.core import lang
from kbackend.core.tensor import tensor

from .support import Builder, assert_equivalent, body, graphs, traced


def simplified(fn, *shapes, dtype="float32"):
    graph = traced(fn, *shapes, dtype=dtype)
    found = dce(algebra(graph))
    assert_equivalent(graph, found)
    return body(found)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: lang.transpose(lang.transpose(x, (1, 2, 0)), (2, 0, 1)),
        lambda x: lang.reshape(lang.reshape(x, (12, 2)), (2, 3, 4)),
        lambda x: lang.rev(lang.rev(x, (0, 1)), (0, 1)),
        lambda x: lang.broadcast_to(x, (2, 3, 4)),
        lambda x: lang.slice_(x, (0, 0, 0), (2, 3, 4)),
        lambda x: lang.pad(x, 0, ((0, 0, 0),) * 3),
        lambda x: lang.concatenate([x], 1),
        lambda x: lang.mul(x, 1),
        lambda x: lang.mul(1, x),
        lambda x: lang.div(x, 1),
        lambda x: lang.sub(x, 0),
        lambda x: lang.pow_(x, 1),
        lambda x: lang.neg(lang.neg(x)),
        lambda x: lang.maximum(x, x),
        lambda x: lang.cast(lang.cast(x, "float64"), "float32"),
    ],
)
def test_what_does_nothing_is_gone(fn):
    assert simplified(fn, (2, 3, 4)) == ["return a"]


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: lang.add(x, 0),  # -0.0 + 0.0 is 0.0
        lambda x: lang.mul(x, 0),  # infinities and NaN stay visible
        lambda x: lang.sub(x, -0.0),
        lambda x: lang.sub(x, x),
        lambda x: lang.transpose(x, (1, 0)),
        lambda x: lang.cast(x, "float16"),
    ],
)
def test_what_only_looks_like_nothing_stays(fn):
    graph = traced(fn, (3, 3))
    assert algebra(graph).eqns == graph.eqns


def test_movements_merge():
    def fn(x):
        return lang.transpose(lang.transpose(x, (1, 2, 0)), (1, 2, 0))

    assert simplified(fn, (2, 3, 4)) == ["b = transpose(a) axes=(2, 0, 1)", "return b"]

    def reshapes(x):
        return lang.reshape(lang.reshape(x, (-1,)), (4, 6))

    assert simplified(reshapes, (2, 3, 4)) == ["b = reshape(a) shape=(4, 6)", "return b"]

    def slices(x):
        return lang.slice_(lang.slice_(x, (1,), (20,), (3,)), (1,), (6,), (2,))

    assert simplified(slices, (20,)) == [
        "b = slice(a) starts=(4,) stops=(17,) steps=(6,)",
        "return b",
    ]


def test_a_transpose_of_single_dimensions_is_a_reshape():
    def fn(x):
        return lang.transpose(x, (1, 0, 2))

    assert simplified(fn, (1, 3, 4)) == ["b = reshape(a) shape=(3, 1, 4)", "return b"]


def test_a_spread_over_single_dimensions_is_a_reshape():
    def fn(x):
        return lang.reshape(lang.broadcast_to(x, (1, 1, 4)), (4, 1))

    assert simplified(fn, (4,)) == ["b = reshape(a) shape=(4, 1)", "return b"]


def test_subtraction_of_a_negation():
    def fn(x, y):
        return lang.sub(x, lang.neg(y)), lang.add(x, lang.neg(y))

    assert simplified(fn, (3,), (3,)) == ["c = add(a, b)", "d = sub(a, b)", "return c, d"]


def test_division_by_a_power_of_two():
    assert simplified(lambda x: lang.div(x, 64), (3,)) == ["b = mul(a, 0.015625)", "return b"]
    for divisor in (3.0, 2.0**127, float("inf"), 0.0):
        assert simplified(lambda x, d=divisor: lang.div(x, d), (3,))[0].startswith("b = div")


def test_integer_chains():
    def fn(x):
        return lang.add(lang.add(lang.mul(lang.mul(x, 3), 5), 7), 2**31 - 1)

    assert simplified(fn, (3,), dtype="int32") == [
        "b = mul(a, 15)", "c = add(b, -2147483642)", "return c",
    ]  # fmt: skip


@pytest.mark.parametrize("chosen", [True, False])
def test_known_choices(chosen):
    make = Builder(((3,), "float32"), ((3,), "float32"))
    graph = make.graph(make(lang.select_p, tensor(chosen), *make.inputs))
    assert body(algebra(graph)) == ["return a" if chosen else "return b"]


@pytest.mark.parametrize(
    ("first", "middle", "last", "left"),
    [
        ("int32", "float64", "int32", 0),
        ("int32", "float32", "int32", 2),  # beyond 2**24 float32 rounds
        ("bool", "float32", "bool", 0),
        ("float32", "int32", "float32", 2),
        ("uint8", "int32", "float32", 1),
        ("int8", "uint8", "int8", 2),
        ("bfloat16", "float32", "bfloat16", 0),
        ("float16", "bfloat16", "float16", 2),
        ("uint8", "float32", "int8", 2),  # 200.0 has no int8, and 200 wraps around
    ],
)
def test_casts(first, middle, last, left):
    def fn(x):
        return lang.cast(lang.cast(x, middle), last)

    assert len(simplified(fn, ((3,), first))) - 1 == left


def test_labels_keep_their_rounding():
    def fn(x):
        return lang.cast(lang.cast(x, "float32"), "int32")

    graph = traced(fn, ((1,), "int32"))
    assert len(algebra(graph).eqns) == 2
    assert int(np.int32(np.float32(2**24 + 1))) != 2**24 + 1


@pytest.mark.parametrize("side", [0, 1])
def test_transposes_into_products(side):
    def fn(x, y):
        if side == 0:
            return lang.dot(lang.transpose(x, (1, 0)), y, ((1,), (0,)))
        return lang.dot(y, lang.transpose(x, (1, 0)), ((0,), (0,)))

    # Sums of small integers and halves are exact, in whatever order.
    found = simplified(fn, (3, 2) if side == 0 else (5, 3), (3, 4))
    assert found[0].startswith("c = dot(") and len(found) == 2


def test_transposes_of_batches_into_products():
    def fn(x, y):
        return lang.dot(lang.transpose(x, (0, 2, 1, 3)), y, ((3,), (2,)), ((0, 1), (0, 1)))

    found = simplified(fn, (2, 5, 3, 4), (2, 3, 4, 6))
    assert found == ["c = dot(a, b) contract=((3,), (2,)) batch=((0, 2), (0, 1))", "return c"]


def test_a_transpose_that_orders_the_result_stays():
    def fn(x, y):
        return lang.dot(lang.transpose(x, (1, 0, 2)), y, ((2,), (0,)))

    assert len(simplified(fn, (2, 3, 4), (4, 5))) == 3


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_random_graphs_keep_their_bits(graph):
    found = algebra(graph)
    assert_equivalent(graph, found)
    assert len(found.eqns) <= len(graph.eqns)
