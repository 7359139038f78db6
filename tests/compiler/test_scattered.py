"""Rows scattered among zeros: which regions take them, and what an engine that declines gets."""

import numpy as np
import pytest

from kbackend.compiler.lower import lower
from kbackend.compiler.passes.domain import is_elementwise, is_reduction
from kbackend.compiler.passes.fuse import fuse
from kbackend.compiler.passes.scattered import Scattered, scattered
from kbackend.core import lang
from kbackend.engine.loader import get_engine
from kbackend.ir.verify import verify

from .support import assert_same_bits, traced

pytestmark = pytest.mark.engine("numpy")

TABLE, ROWS = (9, 4), (3, 4)


def fusible(eqn):
    return is_elementwise(eqn) or is_reduction(eqn)


def gradient(rows, index, mode="add", value=0):
    return lang.scatter(lang.full(TABLE, value, "float32"), rows, (index,), (0,), mode)


def moved(p, g, lr):
    return lang.sub(p, lang.mul(g, lr))


def joined(fn, *shapes, able=lambda eqn: True):
    """The graph after the pass, and the ops in it that were made."""
    graph = scattered(fuse(traced(fn, *shapes), fusible), able)
    verify(graph)
    return graph, [eqn.op for eqn in graph.eqns if isinstance(eqn.op, Scattered)]


def names(op):
    return [node.name for node in op.params["region"].nodes]


def index():
    return lang.mod(lang.iota((3,), 0, "int32"), 2)


def test_the_update_takes_rows():
    graph, (op,) = joined(
        lambda p, rows, lr: (moved(p, gradient(rows, index()), lr),), TABLE, ROWS, ()
    )
    assert names(op) == ["mul", "sub"] and op.params["axes"] == (0,)
    region = op.params["region"]
    # The product's first operand.
    assert op.params["place"] == region.nodes[0].inputs[0]
    assert not {"scatter", "full"} & {eqn.op.name for eqn in graph.eqns}


def test_all_that_is_done_to_the_table_goes_along():
    def fn(p, rows, m, lr):
        m = lang.add(lang.mul(m, 0.5), gradient(rows, index()))
        p = lang.sub(lang.mul(p, 0.9), lang.mul(m, lr))
        return p, m, lang.mul(p, 0.1)

    graph, (op,) = joined(fn, TABLE, ROWS, TABLE, ())
    assert len(names(op)) == 6
    (eqn,) = [eqn for eqn in graph.eqns if eqn.op is op]
    assert len(eqn.outputs) == 3


def test_a_norm_takes_rows_and_so_does_what_needs_it():
    def fn(p, rows, lr):
        g = gradient(rows, index())
        scale = lang.sqrt(lang.reduce_sum(lang.mul(g, g), (0, 1)))
        return (moved(p, lang.mul(g, scale), lr),)

    graph, (norm, update) = joined(fn, TABLE, ROWS, ())
    assert names(norm) == ["mul", "reduce_sum"] and names(update) == ["mul", "mul", "sub"]
    assert not {"scatter", "full"} & {eqn.op.name for eqn in graph.eqns}


def test_what_stays_apart():
    for fn in (
        # Somebody else needs the gradient.
        lambda p, rows, lr: (moved(p, g := gradient(rows, index()), lr), g),
        lambda p, rows, lr: (moved(p, g := gradient(rows, index()), lr), lang.sort(g, 0)[0]),
        # It is not a sum on zeros.
        lambda p, rows, lr: (moved(p, gradient(rows, index(), "set"), lr),),
        lambda p, rows, lr: (moved(p, gradient(rows, index(), value=1), lr),),
        # Sums of columns need all of their elements side by side.
        lambda p, rows, lr: (
            lang.reduce_sum(lang.mul(g := gradient(rows, index()), g), (0,)),
            moved(p, g, lr),
        ),
        # The region is larger than the table.
        lambda p, rows, lr: (
            moved(lang.broadcast_to(p, (2, *TABLE)), gradient(rows, index()), lr),
        ),
    ):
        assert not joined(fn, TABLE, ROWS, ())[1]


def test_a_region_takes_the_rows_of_one_table():
    def fn(p, rows, lr):
        both = lang.add(gradient(rows, index()), gradient(lang.neg(rows), index()))
        return (moved(p, both, lr),)

    graph, (op,) = joined(fn, TABLE, ROWS, ())
    assert names(op) == ["add", "mul", "sub"]
    assert [eqn.op.name for eqn in graph.eqns].count("scatter") == 1


def test_an_engine_says_what_it_takes():
    def fn(p, rows, lr):
        return (moved(p, gradient(rows, index()), lr),)

    asked = []
    assert not joined(fn, TABLE, ROWS, (), able=asked.append)[1]
    assert [eqn.op.name for eqn in asked] == ["scatter"]


@pytest.mark.parametrize("size", [0, 3])
def test_an_engine_without_such_a_kernel_makes_two_steps(size, rng):
    def fn(p, rows, lr):
        g = gradient(rows, lang.mod(lang.iota((size,), 0, "int32"), 2))
        total = lang.reduce_sum(lang.mul(g, g), (0, 1))
        return moved(p, g, lr), total

    engine, shapes = get_engine("numpy"), (TABLE, (size, 4), ())
    arrays = [rng.normal(size=s).astype("float32") for s in shapes]
    found = []
    for graph in (fuse(traced(fn, *shapes), fusible), joined(fn, *shapes)[0]):
        program = lower(graph, engine)
        assert {"scatter", "region"} <= {step.name for step in program.steps}
        outputs, _ = engine.compile(program)([np.asarray(a) for a in arrays])
        found.append(outputs)
    assert_same_bits(*found)
