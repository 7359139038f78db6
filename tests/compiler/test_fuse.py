"""Fusion of elementwise equations into regions."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kbackend.compiler.passes.fuse import fuse
from kbackend.compiler.passes.fused import Fused
from kbackend.core import lang
from kbackend.engine.program import REDUCTIONS
from kbackend.ir.text import to_text
from kbackend.ops.nn.rectifiers import relu_c
from kbackend.random.noise import masked_scale
from kbackend_numpy.engine import NumpyEngine

from .support import assert_equivalent, graphs, traced


def every(eqn):
    return eqn.op.name in NumpyEngine.fusible - REDUCTIONS


def regions(graph):
    return [eqn.op for eqn in graph.eqns if isinstance(eqn.op, Fused)]


def test_a_chain_becomes_one_region():
    graph = traced(lambda x, b: lang.tanh(lang.mul(lang.add(x, b), 2)), (2, 3), (3,))
    found = fuse(graph, every)
    assert to_text(found).splitlines()[1:] == [
        "  c: float32[2,3] = region(a, b, 2.)",
        "    region(d: float32[2,3], e: float32[3], f: float32[]) {",
        "      g: float32[2,3] = add(d, e)",
        "      h: float32[2,3] = mul(g, f)",
        "      i: float32[2,3] = tanh(h)",
        "      return i",
        "    }",
        "  return c",
        "}",
    ]
    assert_equivalent(graph, found)


def test_literal_scalars_are_known_to_the_engine():
    graph = fuse(traced(lambda x: lang.mul(lang.add(x, 0.5), 2), (3,)), every)
    assert dict(graph.eqns[0].op.region.known) == {1: 0.5, 2: 2.0}


def test_composites_that_the_engine_names_are_fused():
    def fn(x, b, keep):
        return masked_scale(relu_c(lang.add(x, b)), keep, scale=2.0)

    graph = traced(fn, (2, 3), (3,), ((2, 3), "bool"))
    assert len(fuse(graph, every).eqns) == 1
    assert_equivalent(graph, fuse(graph, every))


def test_what_is_needed_outside_is_handed_out():
    def fn(x):
        y = lang.exp(x)
        return lang.neg(y), lang.reduce_sum(y, (0,))

    graph = traced(fn, (3,))
    found = fuse(graph, every)
    assert len(found.eqns[0].outputs) == 2
    assert_equivalent(graph, found)


def test_no_path_leaves_a_region_and_comes_back():
    def fn(x):
        y = lang.exp(x)
        return lang.add(y, lang.reduce_max(y, (0,)))

    graph = traced(fn, (3,))
    assert not regions(fuse(graph, every))
    assert_equivalent(graph, fuse(graph, every))


def test_no_path_comes_back_through_a_region_that_goes_on_later():
    def fn(x, z):
        early = lang.neg(x)
        total = lang.reduce_sum(early, (0,))
        power = lang.exp(z)
        # Joins `early`, so that `total` needs a group which needs `power`.
        late = lang.add(early, lang.reduce_sum(power, (0,)))
        return late, lang.add(power, total)

    graph = traced(fn, (3,), (4,))
    found = fuse(graph, lambda eqn: eqn.op.kind == "elementwise")
    assert len(regions(found)) == 1
    assert_equivalent(graph, found)


def test_regions_have_one_shape():
    graph = traced(lambda x, b: lang.add(x, lang.exp(b)), (2, 3), (3,))
    assert not regions(fuse(graph, every))


def test_what_the_engine_can_not_fuse_stays():
    graph = traced(lambda x: lang.erf(lang.exp(x)), (3,))
    assert fuse(graph, every).eqns == graph.eqns
    assert fuse(graph, lambda eqn: False).eqns == graph.eqns


def test_sources_are_kept():
    graph = fuse(traced(lambda x: lang.neg(lang.exp(x)), (3,)), every)
    assert "test_fuse.py" in graph.eqns[0].source.line
    assert "test_fuse.py" in graph.eqns[0].op.graph.eqns[1].source.line


@settings(max_examples=200, deadline=None)
@given(graphs(most=24))
def test_random_graphs_keep_their_bits(graph):
    assert_equivalent(graph, fuse(graph, every))


@settings(max_examples=100, deadline=None)
@given(graphs(most=24), st.data())
def test_random_graphs_with_random_fusions(graph, data):
    chosen = {eqn.outputs[0]: data.draw(st.booleans()) for eqn in graph.eqns}
    found = fuse(graph, lambda eqn: chosen.get(eqn.outputs[0], False))
    assert_equivalent(graph, found)
