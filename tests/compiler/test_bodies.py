"""Bodies of composites: kept for each engine, as literals in them are its arrays."""

import pytest

import kbackend.ops  # defines the composites  # noqa: F401
from kbackend.compiler.compiled import jit
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.composite import COMPOSITES, Composite
from kbackend.core.tensor import tensor
from kbackend.engine.interface import Kernel
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


def test_kernels_that_are_choosy_about_shapes(other, monkeypatch):
    small = Kernel(lambda x: x + 100, takes=lambda inputs: inputs[0].size < 3)
    monkeypatch.setitem(other.composites, "choosy_in_tests", small)
    choosy = Composite("choosy_in_tests", lambda x: lang.mul(x, 2.0))
    try:
        with use_backend("other"):
            both = jit(lambda x, y: (choosy(x), choosy(y)))(tensor([1.0]), tensor([1.0] * 3))
    finally:
        del COMPOSITES["choosy_in_tests"]
    assert [one.tolist() for one in both] == [[101.0], [2.0, 2.0, 2.0]]
