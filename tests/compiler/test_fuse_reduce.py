"""Fusion of reductions into regions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbackend import ops
from kbackend.compiler.passes.fuse import fuse
from kbackend.compiler.passes.fused import Fused
from kbackend.core import lang
from kbackend.engine.interpreter import region_function
from kbackend.engine.loader import get_engine
from kbackend.engine.program import REDUCTIONS
from kbackend.ir.eval import evaluate
from kbackend.ir.text import to_text
from kbackend.ir.verify import verify
from kbackend_numpy.kernels.elementwise import COMPOSITES, NAMES

from .support import (
    _binary,
    _select,
    _unary,
    assert_equivalent,
    assert_same_bits,
    traced,
    values,
)

pytestmark = pytest.mark.engine("numpy")

REDUCE = [lang.reduce_sum, lang.reduce_max, lang.reduce_min, lang.reduce_prod]


def every(eqn):
    return eqn.op.name in NAMES | COMPOSITES | REDUCTIONS


def fused(fn, *shapes):
    """The graph of `fn` with regions, which must compute the same bits and keep the rules."""
    graph = traced(fn, *shapes)
    found = fuse(graph, every)
    assert_equivalent(graph, found)
    for op in regions(found):
        check(op)
    return found


def regions(graph):
    return [eqn.op for eqn in graph.eqns if isinstance(eqn.op, Fused)]


def names(graph):
    return [eqn.op.name for eqn in graph.eqns]


def check(op):
    """Asserts that a region keeps the rules of its form, and computes what its equations do."""
    verify(op.graph)
    region = op.region
    assert region.axes == tuple(sorted(region.axes))
    specs = [*region.inputs, *[node.spec for node in region.nodes]]
    kept = {spec for spec in range(len(region.inputs), len(specs))
            if specs[spec].shape != region.shape}  # fmt: skip
    for number, node in enumerate(region.nodes, len(region.inputs)):
        taken = [specs[i].shape for i in node.inputs]
        if node.reduces:
            assert node.params["axes"] == region.axes and taken == [region.shape]
            missing = tuple(d for i, d in enumerate(region.shape) if i not in region.axes)
            assert node.spec.shape == (region.kept if node.params["keepdims"] else missing)
        else:
            assert node.spec.shape in (region.shape, region.kept)
            assert np.broadcast_shapes(*taken) == node.spec.shape
        inside = kept & set(node.inputs)
        if inside:
            assert region.by_rows and {specs[i].shape for i in inside} == {region.kept}
        assert all(i < number for i in node.inputs)
    args = values(op.graph)
    run = region_function(get_engine("numpy"), region)
    with np.errstate(all="ignore"):
        assert_same_bits(run(*[a.array for a in args]), evaluate(op.graph, args))


def softmax(x, axis=-1):
    e = ops.exp(x - ops.max(x, axis=axis, keepdims=True))
    return e / ops.sum(e, axis=axis, keepdims=True)


def test_a_softmax_is_one_region():
    found = fused(softmax, (2, 3))
    assert to_text(found).splitlines()[1:] == [
        "  b: float32[2,3] = region(a)",
        "    region(c: float32[2,3]) {",
        "      d: float32[2,1] = reduce_max(c) axes=(1,) keepdims=True",
        "      e: float32[2,3] = sub(c, d)",
        "      f: float32[2,3] = exp(e)",
        "      g: float32[2,1] = reduce_sum(f) axes=(1,) keepdims=True",
        "      h: float32[2,3] = div(f, g)",
        "      return h",
        "    }",
        "  return b",
        "}",
    ]


def test_dimensions_that_come_back_by_a_reshape_are_kept_inside():
    def fn(x):
        e = ops.exp(x - ops.expand_dims(ops.max(x, axis=-1), -1))
        return e / ops.expand_dims(ops.sum(e, axis=-1), -1)

    assert to_text(fused(fn, (2, 3))) == to_text(fused(lambda x: softmax(x), (2, 3)))


def test_a_normalization_is_one_region():
    def fn(x, gain, offset):
        mean = ops.mean(x, axis=-1, keepdims=True)
        variance = ops.var(x, axis=-1, keepdims=True)
        return (x - mean) / ops.sqrt(variance + 1e-5) * gain + offset

    assert names(fused(fn, (2, 3), (3,), (3,))) == ["region"]


def test_kept_values_that_lack_dimensions_are_reshaped_where_they_leave():
    def fn(x, y):
        losses = ops.mean(ops.square(x - y), axis=-1)
        return losses, ops.sum(x * ops.expand_dims(losses, -1), axis=-1)

    found = fused(fn, (2, 3), (2, 3))
    assert sorted(names(found)) == ["region", "reshape"]
    assert [o.aval.shape for o in found.eqns[0].outputs] == [(2, 1), (2,)]


def test_kept_operands_from_outside_are_reshaped():
    found = fused(lambda x, w, v: lang.mul(lang.mul(lang.reduce_sum(x, (1, 2)), w), v),
                  (2, 3, 4), (2,), (1,))  # fmt: skip
    assert names(found) == ["reshape", "reshape", "region", "reshape"]


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("axes", [(0,), (0, 1), (0, 2), (1,), (0, 1, 2)])
def test_elsewhere_reductions_only_leave(axes, keepdims):
    def fn(x, y):
        product = lang.mul(x, y)
        total = lang.reduce_sum(product, axes, keepdims)
        return lang.neg(product), lang.exp(total)

    found = fused(fn, (2, 3, 4), (2, 3, 4))
    assert names(found) == ["region", "exp"]
    assert found.eqns[0].op.domain == ((2, 3, 4), axes)


def test_the_result_of_a_total_is_not_used_inside():
    def fn(x):
        y = lang.exp(x)
        return lang.div(y, lang.reduce_sum(y, (0, 1), keepdims=True))

    assert names(fused(fn, (2, 3))) == ["region", "div"]


def test_several_reductions_of_one_region():
    def fn(x):
        return lang.reduce_sum(x, (0,)), lang.reduce_sum(lang.mul(x, x), (0,))

    found = fused(fn, (4, 3))
    assert names(found) == ["region"] and len(found.eqns[0].outputs) == 2


def test_rows_come_before_other_axes():
    def fn(x):
        y = softmax(x)
        return y, lang.reduce_sum(y, (0,))

    assert [op.domain.axes for op in regions(fused(fn, (4, 3)))] == [(1,)]


def test_what_shares_nothing_large_stays_apart():
    def fn(x, y):
        return lang.mul(y, lang.reduce_sum(lang.exp(x), (1,), keepdims=True))

    assert names(fused(fn, (4, 3), (4, 3))) == ["region", "mul"]
    # A row that broadcasts the other way is no kept value.
    assert names(fused(lambda x: lang.mul(x, lang.reduce_sum(lang.exp(x), (1,))), (3, 3))) == [
        "region",
        "mul",
    ]


def test_a_reduction_of_one_element_is_none():
    assert not regions(fused(lambda x: lang.reduce_sum(lang.exp(x), (1,)), (3, 1)))


def test_the_engine_may_have_no_reductions():
    graph = traced(softmax, (2, 3))
    found = fuse(graph, lambda eqn: eqn.op.name in NAMES)
    assert names(found) == ["reduce_max", "region", "reduce_sum", "div"]


# ----- random graphs -----


def _reduce(draw, x, pool):
    if not x.dtype.startswith("float"):
        return x
    axes = tuple(i for i in range(x.ndim) if draw(st.booleans()))
    if draw(st.booleans()):
        axes = tuple(range(draw(st.integers(0, x.ndim)), x.ndim))
    if draw(st.booleans()):
        return draw(st.sampled_from(REDUCE))(x, axes, keepdims=True)
    out = draw(st.sampled_from(REDUCE))(x, axes)
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    return lang.reshape(out, kept) if draw(st.booleans()) else out


def _broadcast(draw, x, pool):
    return lang.broadcast_to(x, draw(st.sampled_from([y.shape for y in pool])))


def _fits(x, y):
    try:
        return np.broadcast_shapes(x.shape, y.shape) in (x.shape, y.shape)
    except ValueError:
        return False


MOVES = [_unary, _binary, _binary, _binary, _select, _reduce, _reduce, _reduce, _broadcast]
SHAPES = [(4, 3), (4, 1), (2, 4, 3), (4,), (3, 3), (1, 3), (1, 1), ()]


@st.composite
def graphs(draw):
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))

    def fn(*args):
        made = list(args)
        for _ in range(draw(st.integers(1, 24))):
            move, x = draw(st.sampled_from(MOVES)), draw(st.sampled_from(made))
            pool = [y for y in made if y.shape in (x.shape, ())]
            if move is _binary:
                pool = [y for y in made if _fits(x, y)]
            if move is _broadcast:
                pool = [y for y in made if _fits(x, y) and y.ndim >= x.ndim
                        and np.broadcast_shapes(x.shape, y.shape) == y.shape]  # fmt: skip
            made.append(move(draw, x, pool))
        return draw(st.lists(st.sampled_from(made), min_size=1, max_size=4))

    return traced(fn, *shapes)


@settings(max_examples=300, deadline=None)
@given(graphs(), st.data())
def test_random_graphs_keep_their_bits(graph, data):
    some = {eqn.outputs[0]: data.draw(st.integers(0, 9)) > 0 for eqn in graph.eqns}
    found = fuse(graph, lambda eqn: every(eqn) and some[eqn.outputs[0]])
    assert_equivalent(graph, found)
    for op in regions(found):
        check(op)
