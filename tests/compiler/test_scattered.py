"""Gradients of tables as rows: when updates take them, and what an engine that declines gets."""

import numpy as np
import pytest

from kbackend.compiler.lower import lower
from kbackend.compiler.passes.scattered import Scattered, scattered
from kbackend.core import lang
from kbackend.engine.loader import get_engine
from kbackend.ir.verify import verify
from kbackend.optimizers.updates import momentum_update, sgd_update

from .support import assert_same_bits, traced

pytestmark = pytest.mark.engine("numpy")

TABLE, ROWS = (9, 4), (3, 4)


def able(eqn):
    return eqn.op.name in ("sgd_update", "momentum_update")


def gradient(rows, index, mode="add", value=0):
    return lang.scatter(lang.full(TABLE, value, "float32"), rows, (index,), (0,), mode)


def joined(fn, *shapes):
    """The graph after the pass, and the ops in it that were made."""
    graph = scattered(traced(fn, *shapes), able)
    verify(graph)
    return graph, [eqn.op for eqn in graph.eqns if isinstance(eqn.op, Scattered)]


def index():
    return lang.mod(lang.iota((3,), 0, "int32"), 2)


def test_the_update_takes_rows():
    graph, (op,) = joined(
        lambda p, rows, lr: (sgd_update(p, gradient(rows, index()), lr),), TABLE, ROWS, ()
    )
    assert op.params == {"op": "sgd_update", "params": {}, "axes": (0,)}
    assert not {"scatter", "full"} & {eqn.op.name for eqn in graph.eqns}


def test_an_update_with_state():
    def fn(p, rows, m, lr):
        params = {"momentum": 0.5, "nesterov": True}
        return momentum_update(p, gradient(rows, index()), m, lr, **params)

    _, (op,) = joined(fn, TABLE, ROWS, TABLE, ())
    assert op.params["params"] == {"momentum": 0.5, "nesterov": True}


def test_what_stays_apart():
    for fn in (
        # Somebody else needs the gradient.
        lambda p, rows, lr: (sgd_update(p, g := gradient(rows, index()), lr), g),
        # It is not a sum on zeros.
        lambda p, rows, lr: (sgd_update(p, gradient(rows, index(), "set"), lr),),
        lambda p, rows, lr: (sgd_update(p, gradient(rows, index(), value=1), lr),),
        # The gradient is in another place.
        lambda p, rows, lr: (sgd_update(gradient(rows, index()), p, lr),),
    ):
        assert not joined(fn, TABLE, ROWS, ())[1]


def test_an_engine_without_such_a_kernel_makes_two_steps(rng):
    def fn(p, rows, lr):
        return (sgd_update(p, gradient(rows, index()), lr),)

    engine = get_engine("numpy")
    arrays = [rng.normal(size=s).astype("float32") for s in (TABLE, ROWS, ())]
    found = []
    for graph in (traced(fn, TABLE, ROWS, ()), joined(fn, TABLE, ROWS, ())[0]):
        program = lower(graph, engine)
        assert {"scatter", "sgd_update"} <= {step.name for step in program.steps}
        outputs, _ = engine.compile(program)([np.asarray(a) for a in arrays])
        found.append(outputs)
    assert_same_bits(*found)
