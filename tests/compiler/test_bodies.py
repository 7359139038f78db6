"""Bodies of composites: kept for each engine, as literals in them are its arrays."""

import pytest

import kbackend.ops  # defines the composites  # noqa: F401
from kbackend.core.aval import Aval
from kbackend.core.composite import COMPOSITES
from kbackend.engine.loader import get_engine, register_engine, unregister_engine, use_backend
from kbackend.ir.graph import Lit
from kbackend.ir.trace import body_graph
from kbackend_numpy.engine import NumpyEngine


class Other(NumpyEngine):
    """An engine beside NumPy."""

    name = "other"


@pytest.fixture
def other():
    register_engine("other", Other)
    yield get_engine("other")
    unregister_engine("other")


def literals(engine):
    args = (COMPOSITES["gelu"], (Aval((2, 3), "float32"),), {"approximate": False})
    with use_backend(engine):
        graph = body_graph(*args).graph
        assert body_graph(*args).graph is graph
    return [a.value for eqn in graph.eqns for a in eqn.inputs if isinstance(a, Lit)]


def test_literals_are_of_the_engine(other):
    assert {x.engine for x in literals("numpy")} == {get_engine("numpy")}
    assert {x.engine for x in literals("other")} == {other}
